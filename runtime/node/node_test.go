package node_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// containerd is a fake: it answers with err, or not at all.
type containerd struct {
	err   atomic.Pointer[error]
	hangs atomic.Bool
}

func (c *containerd) answer(err error) { c.err.Store(&err) }

func (c *containerd) Check(ctx context.Context) error {
	if c.hangs.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return *c.err.Load()
}

func TestHealth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		peer := &containerd{}
		peer.answer(nil)
		h := node.NewHealth(peer, slog.New(slog.NewTextHandler(&log, nil)))
		if err := h.Error(); err != nil {
			t.Errorf("at first: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- h.Run(ctx) }()
		after := func(d time.Duration) error {
			time.Sleep(d)
			synctest.Wait()
			return h.Error()
		}
		if err := after(time.Minute); err != nil || log.Len() > 0 {
			t.Errorf("while it answers: %v, %s", err, &log)
		}
		refused := errors.New("connection refused")
		peer.answer(refused)
		if err := after(2 * time.Second); !errors.Is(err, refused) {
			t.Errorf("refused: %v", err)
		}
		_ = after(time.Minute)
		if told := strings.Count(log.String(), "level=ERROR"); told != 1 {
			t.Errorf("one absence is logged %d times: %s", told, &log)
		}
		peer.answer(nil)
		if err := after(2 * time.Second); err != nil || strings.Count(log.String(), "answers again") != 1 {
			t.Errorf("back again: %v, %s", err, &log)
		}
		peer.hangs.Store(true)
		begun := time.Now()
		if err := h.Error(); err != nil || time.Since(begun) != 0 {
			t.Errorf("who asks waits: %s, %v", time.Since(begun), err)
		}
		if err := after(8 * time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without an answer: %v", err)
		}
		peer.hangs.Store(false)
		if err := after(10 * time.Second); err != nil {
			t.Errorf("it answers: %v", err)
		}
		peer.hangs.Store(true)
		_ = after(3 * time.Second) // amid a check
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := h.Error(); err != nil {
			t.Errorf("the end of this process is containerd's fault: %v", err)
		}
	})
}

func TestDetect(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.json", `{"ociVersion": "1.2.0", "hostname": "base"}`)
	with := func(path string) config.Runtime {
		cfg := config.Default().Runtime
		cfg.Handlers["special"] = config.Handler{Type: "io.containerd.runc.v2", BaseRuntimeSpec: path}
		return cfg
	}
	m, err := node.Detect(with(good))
	if err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || m.BootID == "" || m.BootID != strings.TrimSpace(string(boot)) {
		t.Errorf("boot id %q, %v", m.BootID, err)
	}
	if len(m.Bases) != 1 || m.Bases["special"].Hostname != "base" || len(m.Host.Capabilities) == 0 {
		t.Errorf("machine %+v", m)
	}
	for name, path := range map[string]string{
		"missing":    filepath.Join(dir, "missing.json"),
		"no JSON":    write("bad.json", "{"),
		"wrong type": write("type.json", `{"hostname": 1}`),
		"empty":      write("empty.json", ""),
		"directory":  dir,
	} {
		_, err := node.Detect(with(path))
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "runtime.runtimes.special.base_runtime_spec") {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg := config.Default().Runtime
	cfg.Handlers["open"] = config.Handler{Type: "io.containerd.runc.v2", CgroupWritable: true}
	_, err = node.Detect(cfg)
	if refused := err != nil && strings.Contains(err.Error(), "runtime.runtimes.open.cgroup_writable"); refused == m.Host.CgroupV2 {
		t.Errorf("cgroup_writable: %v", err)
	}
}

func TestDefaultMounts(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Runtime
	cfg.DefaultMountsFile = filepath.Join(t.TempDir(), "mounts.conf")
	if _, err := node.Detect(cfg); err == nil || !strings.Contains(err.Error(), "runtime.default_mounts_file: open "+cfg.DefaultMountsFile) {
		t.Errorf("without the file: %v", err)
	}
	for text, want := range map[string]int{"/a:/b\n": 1, "a:b": -1} {
		if err := os.WriteFile(cfg.DefaultMountsFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := node.Detect(cfg)
		if want < 0 && (err == nil || !strings.Contains(err.Error(), "runtime.default_mounts_file: "+cfg.DefaultMountsFile+":1: ")) {
			t.Errorf("%q: %v", text, err)
		}
		if want >= 0 && (err != nil || len(m.DefaultMounts) != want) {
			t.Errorf("%q: %v, %v", text, m.DefaultMounts, err)
		}
	}
}

func TestUnknownTimezone(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Runtime
	cfg.Timezone = "Mars/Olympus"
	_, err := node.Detect(cfg)
	if err == nil || !strings.Contains(err.Error(), `runtime.timezone: find time zone "Mars/Olympus"`) {
		t.Errorf("got %v", err)
	}
}
