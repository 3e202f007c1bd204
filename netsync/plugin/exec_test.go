package plugin_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/netsync/plugin"
	"github.com/trivet-cri/trivet/netsync/plugin/plugintest"
)

var spans = tracetest.NewSpanRecorder()

func TestMain(m *testing.M) {
	plugintest.Main()
	otel.SetTextMapPropagator(propagation.TraceContext{})
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	goleak.VerifyTestMain(m)
}

// place is where a test's plugins are and work.
type place struct {
	bin  string
	dir  plugintest.Dir
	exec invoke.Exec
}

// everyExec runs test with plugins as processes and with those inside the test.
func everyExec(t *testing.T, test func(t *testing.T, p place)) {
	for name, fake := range map[string]bool{"process": false, "fake": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := place{bin: t.TempDir(), dir: plugintest.Dir(t.TempDir())}
			plugintest.Install(t, p.bin, "one", "two")
			p.exec = plugin.NewExec(0)
			if fake {
				p.exec = &plugintest.Exec{Names: []string{"one", "two"}}
			}
			test(t, p)
		})
	}
}

func (p place) run(ctx context.Context, command string) ([]byte, error) {
	path, err := p.exec.FindInPath("one", []string{p.bin})
	if err != nil {
		return nil, err
	}
	config := plugintest.Conflist("1.1.0", "net")
	config = []byte(`{"cniVersion":"1.1.0","dir":` + strconv.Quote(string(p.dir)) + `,"ips":["10.0.0.9/24"],"x":` + string(config) + `}`)
	args := &invoke.Args{Command: command, ContainerID: "c1", NetNS: "/n", IfName: "eth0", Path: p.bin}
	return p.exec.ExecPlugin(ctx, path, config, args.AsEnv())
}

func TestExecContract(t *testing.T) {
	t.Parallel()
	everyExec(t, func(t *testing.T, p place) {
		out, err := p.run(t.Context(), "ADD")
		if err != nil || !strings.Contains(string(out), "10.0.0.9") || len(p.dir.Held(t)) != 1 {
			t.Fatalf("ADD: %s, %v", out, err)
		}
		if call := p.dir.Calls(t, "ADD")[0]; call.ContainerID != "c1" || call.NetNS != "/n" || call.Interface != "eth0" || call.Plugin != "one" {
			t.Errorf("the plugin saw %+v", call)
		}
		if _, err := p.run(t.Context(), "DEL"); err != nil || len(p.dir.Held(t)) != 0 {
			t.Errorf("DEL: %v, left %v", err, p.dir.Held(t))
		}
		for code, kind := range map[uint]error{types.ErrTryAgainLater: errdefs.ErrUnavailable, types.ErrPluginNotAvailable: errdefs.ErrUnavailable, 100: nil} {
			mend := p.dir.Fail(t, "ADD", types.NewError(code, "because", "of this"))
			_, err := p.run(t.Context(), "ADD")
			var own *plugin.Error
			if !errors.As(err, &own) || own.Plugin != "one" || own.Command != "ADD" || !strings.Contains(err.Error(), `plugin "one": ADD: because; of this`) {
				t.Errorf("code %d: %v", code, err)
			}
			if errdefs.IsUnavailable(err) != (kind != nil) {
				t.Errorf("code %d: kind of %v", code, err)
			}
			mend()
		}
		if _, err := p.exec.FindInPath("three", []string{p.bin}); !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "three") || !strings.Contains(err.Error(), p.bin) {
			t.Errorf("a missing plugin: %v", err)
		}
	})
}

func TestExecEndsWithItsContext(t *testing.T) {
	t.Parallel()
	everyExec(t, func(t *testing.T, p place) {
		p.dir.Block(t, "ADD")
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := p.run(ctx, "ADD"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `plugin "one": ADD`) {
			t.Errorf("error is %v", err)
		}
	})
}

// script installs a plugin that is a shell script.
func script(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExecKillsWhatThePluginStarted(t *testing.T) {
	t.Parallel()
	pidFile := filepath.Join(t.TempDir(), "pid")
	path := script(t, "sleep 1000 & echo $! > "+pidFile+".new; mv "+pidFile+".new "+pidFile+"; wait")
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error {
		_, err := plugin.NewExec(0).ExecPlugin(ctx, path, nil, os.Environ())
		return err
	})
	var pid int
	plugintest.Eventually(t, "the child's pid", func() bool {
		text, err := os.ReadFile(pidFile)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil
	})
	cancel()
	if err := group.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	plugintest.Eventually(t, "the child's end", func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func TestExecOddPlugins(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, out, says string }{
		"silent failure":        {"exit 3", "", "exit status 3"},
		"error on stderr":       {"echo broken >&2; exit 1", "", "broken"},
		"text instead of JSON":  {"echo oops; exit 1", "", "oops"},
		"killed":                {"kill -9 $$", "", "killed"},
		"floods its output":     {"head -c 6000000 /dev/zero | tr '\\0' x; exit 1", "", "exit status 1"},
		"leaves a child behind": {"sleep 30 & echo $! > $PIDFILE; echo '{}'", "{}\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pidFile := filepath.Join(t.TempDir(), "pid")
			out, err := plugin.NewExec(0).ExecPlugin(t.Context(), script(t, test.text), nil, append(os.Environ(), "CNI_COMMAND=ADD", "PIDFILE="+pidFile))
			if test.says == "" && (err != nil || string(out) != test.out) {
				t.Errorf("output %q, error %v", out, err)
			}
			if test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says) || len(err.Error()) > 2000) {
				t.Errorf("error is %v", err)
			}
			if text, err := os.ReadFile(pidFile); err == nil {
				pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		})
	}
}

// TestExecWaitsForAWriter has a plugin that is being installed.
func TestExecWaitsForAWriter(t *testing.T) {
	t.Parallel()
	path := script(t, "echo '{}'")
	writer, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var group errgroup.Group
	group.Go(func() error {
		_, err := plugin.NewExec(0).ExecPlugin(t.Context(), path, nil, os.Environ())
		return err
	})
	short, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	if _, err := plugin.NewExec(0).ExecPlugin(short, path, nil, os.Environ()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a file that stays open: %v", err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func TestExecLimit(t *testing.T) {
	t.Parallel()
	p := place{bin: t.TempDir(), dir: plugintest.Dir(t.TempDir()), exec: plugin.NewExec(2)}
	plugintest.Install(t, p.bin, "one")
	unblock := p.dir.Block(t, "ADD")
	var group errgroup.Group
	for range 2 {
		group.Go(func() error { _, err := p.run(t.Context(), "ADD"); return err })
	}
	p.dir.Await(t, "ADD", 2)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := p.run(ctx, "DEL"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "max_concurrency") {
		t.Errorf("the third: %v", err)
	}
	if _, err := p.run(t.Context(), "STATUS"); err != nil {
		t.Errorf("STATUS: %v", err)
	}
	unblock()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if n := len(p.dir.Calls(t, "DEL")); n != 0 {
		t.Errorf("DEL ran %d times", n)
	}
}
