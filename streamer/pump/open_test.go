package pump_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/trivet-cri/trivet/internal/ident"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/pump"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newPumps(t, dir)
	stop := start(t, first)
	r := request(t)
	r.Stdin = true
	fifos := open(t, first, r)
	for _, path := range []string{fifos.GetStdin(), fifos.GetStdout(), fifos.GetStderr()} {
		info, err := os.Stat(path)
		if err != nil || info.Mode() != os.ModeNamedPipe|0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	out := openShim(t, fifos.GetStdout())
	if size, err := unix.FcntlInt(out.r.Fd(), unix.F_GETPIPE_SZ, 0); err != nil || size != 1<<20 {
		t.Errorf("fifo has %d bytes, %v", size, err)
	}

	// The same request again, also by a successor, changes nothing.
	if again := open(t, first, r); !proto.Equal(fifos, again) {
		t.Errorf("again: %v, want %v", again, fifos)
	}
	stop()
	if _, err := first.Open(t.Context(), r); !errdefs.IsUnavailable(err) {
		t.Errorf("open after the end: %v", err)
	}
	second := run(t, dir)
	if again := open(t, second, r); !proto.Equal(fifos, again) {
		t.Errorf("again: %v, want %v", again, fifos)
	}
	other := proto.CloneOf(r)
	other.Stdin = false
	if _, err := second.Open(t.Context(), other); !errdefs.IsAlreadyExists(err) {
		t.Errorf("another request: %v", err)
	}
	if n := second.Count(); n != 1 {
		t.Errorf("%d pumps", n)
	}
	info, ok := second.Info(r.GetContainer().GetId())
	if !ok || !info.Stdin || info.TTY || info.StdinOnce || info.Ended || info.Container.GetPodName() != "pod" {
		t.Errorf("info %+v, %t", info, ok)
	}
	out.write(t, "a line\n")
	eventually(t, "line in the log", func() bool {
		raw, err := os.ReadFile(r.GetLogPath())
		return err == nil && strings.HasSuffix(string(raw), " stdout F a line\n")
	})
}

func TestOpenTTY(t *testing.T) {
	t.Parallel()
	p := run(t, t.TempDir())
	r := request(t)
	r.Tty = true
	fifos := open(t, p, r)
	if fifos.GetStderr() != "" || fifos.GetStdin() != "" || fifos.GetStdout() == "" {
		t.Errorf("fifos %v", fifos)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := run(t, dir)
	logs := t.TempDir()
	link := filepath.Join(logs, "link")
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		id, log, says string
		is            func(error) bool
	}{
		"no id":            {"", logs + "/0.log", "container.id", errdefs.IsInvalidArgument},
		"path as id":       {"../../etc", logs + "/0.log", "container.id", errdefs.IsInvalidArgument},
		"relative log":     {ident.New(), "0.log", `"0.log"`, errdefs.IsInvalidArgument},
		"no log directory": {ident.New(), logs + "/none/0.log", logs + "/none", errdefs.IsNotFound},
		"link as log":      {ident.New(), link, link, errdefs.IsInvalidArgument},
		"directory as log": {ident.New(), logs, logs, errdefs.IsInvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			r := &streamerv1.OpenIORequest{Container: &streamerv1.Container{Id: c.id}, LogPath: c.log}
			if _, err := p.Open(t.Context(), r); !c.is(err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v", err)
			}
		})
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 { // the lock
		t.Errorf("left behind: %v, %v", left, err)
	}
	if p.Count() != 0 {
		t.Errorf("%d pumps", p.Count())
	}
}

// TestOpenAtOnce opens one container from many sides.
func TestOpenAtOnce(t *testing.T) {
	t.Parallel()
	p := run(t, t.TempDir())
	r := request(t)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := p.Open(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for range 5 {
		group.Go(func() {
			if _, err := p.Close(t.Context(), r.GetContainer().GetId(), 0); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if p.Count() != 0 {
		t.Errorf("%d pumps", p.Count())
	}
}

// TestLeftovers finds what a process leaves that was killed in Open or Close,
// and what does not belong there.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	half, broken := ident.New(), ident.New()
	for _, id := range []string{half, broken} {
		if err := os.Mkdir(filepath.Join(dir, id), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mkfifo(filepath.Join(dir, id, "stdout"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, broken, "request"), []byte("\xff\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "not-an-id")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	p := run(t, dir)
	if _, err := os.Stat(filepath.Join(dir, half)); !os.IsNotExist(err) {
		t.Errorf("half an open is left: %v", err)
	}
	r := request(t)
	open(t, p, r)
	if removed, err := p.Sweep(t.Context(), nil, time.Now().Add(-time.Hour)); len(removed) != 0 || err != nil {
		t.Errorf("a sweep as of an hour ago removed %v, %v", removed, err)
	}
	removed, err := p.Sweep(t.Context(), []string{r.GetContainer().GetId()}, time.Now())
	if err != nil || len(removed) != 1 || removed[0] != broken {
		t.Errorf("swept %v, %v", removed, err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("foreign folder: %v", err)
	}
	removed, err = p.Sweep(t.Context(), nil, time.Now())
	if err != nil || len(removed) != 1 || p.Count() != 0 {
		t.Errorf("swept %v, %v", removed, err)
	}
}

// TestHandOver starts a successor while the predecessor still runs.
func TestHandOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newPumps(t, dir)
	stop := start(t, first)
	r := request(t)
	out := openShim(t, open(t, first, r).GetStdout())
	second, err := pump.New(dir, pump.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	go func() {
		defer close(started)
		start(t, second)
	}()
	out.write(t, "one\nunfin")
	eventually(t, "line in the log", func() bool { return len(records(t, r.GetLogPath())) == 1 })
	select {
	case <-second.Resumed():
		t.Error("two processes have the pumps")
	default:
	}
	stop()
	<-started
	out.write(t, "ished\n")
	out.close()
	if drained, err := second.Close(t.Context(), r.GetContainer().GetId(), 100*time.Millisecond); drained || err != nil {
		// stderr was never opened, so only a stream without writers is closed.
		if !drained {
			t.Error(drained, err)
		}
	}
	got := records(t, r.GetLogPath())
	if len(got) != 2 || got[1].text != "unfinished" {
		t.Errorf("log is %v", got)
	}
}
