package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
	"github.com/trivet-cri/trivet/runtime/sandbox"
	"github.com/trivet-cri/trivet/runtime/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is containerd with one sandbox, and the machine with its shim.
type world struct {
	podtest.Faults
	got   engine.NewSandbox
	pid   int
	lives bool
	hung  bool
	// forgotten: containerd does not know the shim, which lives.
	forgotten bool
	host      bool // the sandbox's process is in the host's PID namespace
}

const shimAddress = "ttrpc+unix:///run/shim.sock"

func (w *world) CreateSandbox(ctx context.Context, s engine.NewSandbox, _ config.Handler) error {
	return w.Do(ctx, "Create", func() error { w.got, w.lives = s, true; return nil })
}

func (w *world) SandboxAddress(string) (string, error) {
	return shimAddress, w.Do(context.Background(), "Address", func() error { return nil })
}

func (w *world) StartSandbox(ctx context.Context, _ string) (int, error) {
	return w.pid, w.Do(ctx, "Start", func() error { return nil })
}

func (w *world) GetSandbox(ctx context.Context, _ string) (engine.Sandbox, error) {
	return engine.Sandbox{PID: w.pid, Ready: w.lives}, w.Do(ctx, "Get", func() error { return nil })
}

func (w *world) WaitSandbox(ctx context.Context, _ string) error {
	return w.Do(ctx, "Wait", func() error {
		<-ctx.Done() // it does not end by itself
		return ctx.Err()
	})
}

func (w *world) StopSandbox(ctx context.Context, _ string, _ time.Duration) error {
	return w.Do(ctx, "Stop", func() error { return w.answer(ctx) })
}

func (w *world) ShutdownSandbox(ctx context.Context, _ string) error {
	return w.Do(ctx, "Shutdown", func() error {
		if err := w.answer(ctx); err != nil {
			return err
		}
		if !w.lives || w.forgotten {
			return errdefs.ErrNotFound
		}
		w.lives = false
		return nil
	})
}

func (w *world) answer(ctx context.Context) error {
	if w.hung {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (w *world) KillShim(string) (int, error) {
	err := w.Do(context.Background(), "Kill", func() error { return nil })
	if !w.lives || err != nil {
		return 0, err
	}
	w.hung, w.lives = false, false
	return 1, nil
}

func (w *world) HostPID(int) (bool, error) { return w.host, nil }

func newService(w *world) *sandbox.Service {
	return sandbox.New(sandbox.Deps{
		Config: podtest.Config(), PauseImage: "pause:1", Containerd: w, KillShim: w.KillShim, HostPID: w.HostPID,
		Host: spec.Host{Capabilities: []string{"CAP_CHOWN"}},
	})
}

// run returns a pod of a handler.
func run(t *testing.T, w *world, handler config.Handler, cfg *runtimeapi.PodSandboxConfig) (*pod.Pod, error) {
	t.Helper()
	pods := podtest.New()
	deps := pods.Deps()
	deps.Sandboxes = newService(w)
	handler.Sandboxer = "shim"
	deps.Config.Handlers["tried"] = handler
	s := pod.New(deps)
	t.Cleanup(s.Close)
	return s.Run(t.Context(), cfg, "tried")
}

func TestStart(t *testing.T) {
	t.Parallel()
	w := &world{pid: 4711}
	cfg := podtest.SharedPID("web")
	cfg.Linux.Sysctls = map[string]string{"net.ipv4.ip_forward": "1"}
	p, err := run(t, w, config.Handler{Type: "io.containerd.kata.v2"}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if p.State().PausePID != 4711 || w.got.ID != p.ID || w.got.Netns != p.Namespaces.Network || w.got.Netns == "" || w.got.Config != p.Config {
		t.Errorf("state %+v, sandbox %+v", p.State(), w.got)
	}
	s := w.got.Spec
	if s.Annotations["io.kubernetes.cri.sandbox-id"] != p.ID || s.Annotations["io.kubernetes.cri.container-type"] != "sandbox" ||
		s.Annotations["io.kubernetes.cri.podsandbox.image-name"] != "pause:1" || s.Linux.Sysctl["net.ipv4.ip_forward"] != "1" {
		t.Errorf("annotations %v, sysctls %v", s.Annotations, s.Linux.Sysctl)
	}
}

// TestStreamEndpoint: only for the io_type that needs it is a shim's address
// asked for.
func TestStreamEndpoint(t *testing.T) {
	t.Parallel()
	for ioType, want := range map[string]string{"": "", "fifo": "", "streaming": shimAddress} {
		w := &world{}
		p, err := run(t, w, config.Handler{Type: "io.containerd.kata.v2", IOType: ioType}, podtest.Sandbox("web"))
		if err != nil {
			t.Fatal(err)
		}
		if p.StreamEndpoint() != want {
			t.Errorf("%q: endpoint %q", ioType, p.StreamEndpoint())
		}
	}
	w := &world{}
	w.Fail("Address", podtest.Before, 1)
	_, err := run(t, w, config.Handler{Type: "io.containerd.kata.v2", IOType: "streaming"}, podtest.Sandbox("web"))
	if !errors.Is(err, podtest.ErrInjected) || !strings.Contains(err.Error(), "io_type") {
		t.Errorf("without an address: %v", err)
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	cannot := func(context.Context) error {
		return fmt.Errorf("create sandbox: service not there: %w", errdefs.ErrNotImplemented)
	}
	w := &world{}
	w.On("Create", podtest.Before, cannot)
	_, err := run(t, w, config.Handler{Type: "io.containerd.runc.v2"}, podtest.Sandbox("web"))
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "io.containerd.runc.v2") || !strings.Contains(err.Error(), `sandboxer = "shim"`) {
		t.Errorf("shim without a sandbox service: %v", err)
	}
	for _, call := range []string{"Create", "Start"} {
		for _, when := range []podtest.When{podtest.Before, podtest.After} {
			w := &world{}
			w.Fail(call, when, 1)
			if _, err := run(t, w, config.Handler{Type: "io.containerd.kata.v2"}, podtest.Sandbox("web")); !errors.Is(err, podtest.ErrInjected) || w.lives {
				t.Errorf("%s %s: %v, lives: %v", when, call, err, w.lives)
			}
		}
	}
}

// TestSharedPIDNamespace: a container must never get the host's for its pod's.
func TestSharedPIDNamespace(t *testing.T) {
	t.Parallel()
	runc, vm := config.Handler{Type: "io.containerd.runc.v2"}, config.Handler{Type: "io.containerd.kata.v2"}
	for name, try := range map[string]struct {
		world   *world
		handler config.Handler
		cfg     *runtimeapi.PodSandboxConfig
		fine    bool
	}{
		"its own":        {&world{pid: 5}, runc, podtest.SharedPID("web"), true},
		"the host's":     {&world{pid: 5, host: true}, runc, podtest.SharedPID("web"), false},
		"none":           {&world{}, runc, podtest.SharedPID("web"), false},
		"not shared":     {&world{pid: 5, host: true}, runc, podtest.Sandbox("web"), true},
		"in the machine": {&world{pid: 5, host: true}, vm, podtest.SharedPID("web"), true},
	} {
		p, err := run(t, try.world, try.handler, try.cfg)
		if (err == nil) != try.fine || err != nil && (!errdefs.IsFailedPrecondition(err) || try.world.lives) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	id := ident.New()
	for name, try := range map[string]struct {
		world  *world
		fail   string // a call that fails once
		fine   bool
		killed bool
	}{
		"whole":                     {world: &world{lives: true}, fine: true},
		"gone":                      {world: &world{}, fine: true, killed: true},
		"forgotten":                 {world: &world{lives: true, forgotten: true}, fine: true, killed: true},
		"forgotten, not killable":   {world: &world{lives: true, forgotten: true}, fail: "Kill"},
		"does not stop":             {world: &world{lives: true}, fail: "Stop", fine: true},
		"does not shut down":        {world: &world{lives: true}, fail: "Shutdown", fine: true, killed: true},
		"hangs":                     {world: &world{lives: true, hung: true}, fine: true, killed: true},
		"hangs without a process":   {world: &world{hung: true}},
		"hangs and is not killable": {world: &world{lives: true, hung: true}, fail: "Kill"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := try.world
				if try.fail != "" {
					w.Fail(try.fail, podtest.Before, 1)
				}
				begun := time.Now()
				err := newService(w).Remove(t.Context(), id)
				if (err == nil) != try.fine || try.fine && w.lives || time.Since(begun) > time.Minute {
					t.Errorf("after %s: %v, lives: %v", time.Since(begun), err, w.lives)
				}
				if try.killed != (w.Called("Kill") > 0 && err == nil) {
					t.Errorf("calls: %q", w.Calls())
				}
			})
		})
	}
}

func TestHostPID(t *testing.T) {
	t.Parallel()
	if host, err := sandbox.HostPID(os.Getpid()); err != nil || !host {
		t.Errorf("own PID namespace: %v, %v", host, err)
	}
	if _, err := sandbox.HostPID(1 << 30); err == nil {
		t.Error("a process that cannot be has a PID namespace")
	}
}
