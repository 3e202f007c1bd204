package handler_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"go.uber.org/goleak"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/handler"
	"github.com/trivet-cri/trivet/runtime/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// containerd answers for each shim path, or hangs.
type containerd struct {
	mu      sync.Mutex
	answers map[string]func(ctx context.Context) (*features.Features, error)
	asked   map[string]int
}

func (c *containerd) RuntimeFeatures(ctx context.Context, h config.Handler) (*features.Features, error) {
	c.mu.Lock()
	if c.asked == nil {
		c.asked = make(map[string]int)
	}
	c.asked[h.Path]++
	answer := c.answers[h.Path]
	c.mu.Unlock()
	return answer(ctx)
}

func (c *containerd) times(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[path]
}

func says(f *features.Features, err error) func(context.Context) (*features.Features, error) {
	return func(context.Context) (*features.Features, error) { return f, err }
}

func hangs(ctx context.Context) (*features.Features, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// reports is what a runtime with these features says.
func reports(rro, user, idmap bool) *features.Features {
	f := &features.Features{MountOptions: []string{"ro"}, Linux: &features.Linux{
		Namespaces:      []string{"net"},
		MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &idmap}},
	}}
	if rro {
		f.MountOptions = append(f.MountOptions, "rro")
	}
	if user {
		f.Linux.Namespaces = append(f.Linux.Namespaces, "user")
	}
	return f
}

func runcLike(binary string) config.Handler {
	return config.Handler{Type: "io.containerd.runc.v2", Path: "/shim", Options: config.Options{BinaryName: binary}}
}

func TestFeatures(t *testing.T) {
	t.Parallel()
	all, none := handler.Kernel{RecursiveReadOnly: true, UserNamespaces: true}, handler.Kernel{}
	cannot := fmt.Errorf("no such command: %w", errdefs.ErrNotImplemented)
	for name, try := range map[string]struct {
		handler config.Handler
		kernel  handler.Kernel
		says    *features.Features
		err     error
		want    spec.Features
		source  string
	}{
		"everything":       {runcLike(""), all, reports(true, true, true), nil, spec.Features{RecursiveReadOnly: true, UserNamespaces: true, IDMappedMounts: true}, handler.FromRuntime},
		"nothing":          {runcLike(""), all, &features.Features{}, nil, spec.Features{}, handler.FromRuntime},
		"no idmaps":        {runcLike(""), all, reports(true, true, false), nil, spec.Features{RecursiveReadOnly: true}, handler.FromRuntime},
		"no rro":           {runcLike(""), all, reports(false, true, true), nil, spec.Features{UserNamespaces: true, IDMappedMounts: true}, handler.FromRuntime},
		"no userns":        {runcLike(""), all, reports(false, false, true), nil, spec.Features{IDMappedMounts: true}, handler.FromRuntime},
		"old kernel":       {runcLike(""), none, reports(true, true, true), nil, spec.Features{}, handler.FromRuntime},
		"userns forbidden": {runcLike(""), handler.Kernel{RecursiveReadOnly: true}, reports(true, true, true), nil, spec.Features{RecursiveReadOnly: true, IDMappedMounts: true}, handler.FromRuntime},
		"old crun":         {runcLike("/usr/bin/crun"), all, nil, cannot, spec.Features{RecursiveReadOnly: true}, handler.FromKernel},
		"old both":         {runcLike("/usr/bin/crun"), none, nil, cannot, spec.Features{}, handler.FromKernel},
		"old runc":         {runcLike(""), all, nil, cannot, spec.Features{}, handler.FromNobody},
		"virtual machines": {config.Handler{Type: "io.containerd.kata.v2", Path: "/shim", Options: config.Options{BinaryName: "crun"}}, all, nil, cannot, spec.Features{}, handler.FromNobody},
		"an error":         {runcLike("crun"), all, nil, errors.New("shim: no such file"), spec.Features{}, handler.FromNobody},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				peer := &containerd{answers: map[string]func(context.Context) (*features.Features, error){"/shim": says(try.says, try.err)}}
				h := handler.New(map[string]config.Handler{"x": try.handler}, try.kernel, peer, slog.New(slog.DiscardHandler))
				if len(h.Reports()) > 0 {
					t.Errorf("before it was asked: %v", h.Reports())
				}
				defer running(t, h)()
				got, err := h.Features(t.Context(), "x")
				report := h.Reports()["x"]
				if err != nil || got != try.want || report.Features != try.want || report.Source != try.source || report.Runtime != try.says {
					t.Errorf("got %+v, %v, report %+v", got, err, report)
				}
				if unknown := try.err != nil && !errdefs.IsNotImplemented(try.err); unknown != (report.Problem != "") {
					t.Errorf("problem %q", report.Problem)
				}
			})
		})
	}
}

// running has h run until the returned function is called.
func running(t *testing.T, h *handler.Handlers) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestSlowHandler: one that hangs delays only who needs it, and not for ever.
func TestSlowHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		peer := &containerd{answers: map[string]func(context.Context) (*features.Features, error){
			"/shim": says(reports(true, true, true), nil), "/slow": hangs,
		}}
		slow := runcLike("")
		slow.Path = "/slow"
		h := handler.New(map[string]config.Handler{"runc": runcLike(""), "slow": slow},
			handler.Kernel{RecursiveReadOnly: true, UserNamespaces: true}, peer, slog.New(slog.DiscardHandler))
		defer running(t, h)()
		begun := time.Now()
		if f, err := h.Features(t.Context(), "runc"); err != nil || !f.UserNamespaces || time.Since(begun) > 0 {
			t.Errorf("the other one: %+v, %v", f, err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.Features(short, "slow"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"slow"`) {
			t.Errorf("within its deadline: %v", err)
		}
		f, err := h.Features(t.Context(), "slow")
		if err != nil || f != (spec.Features{}) || time.Since(begun) != 10*time.Second || h.Reports()["slow"].Problem == "" {
			t.Errorf("after %s: %+v, %v, %+v", time.Since(begun), f, err, h.Reports()["slow"])
		}
		_, err = h.Features(t.Context(), "fantasy")
		if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), `"fantasy"`) || !strings.Contains(err.Error(), "runc, slow") {
			t.Errorf("unknown handler: %v", err)
		}
	})
}

// TestAskedAgain: when a program changes, and after a failure.
func TestAskedAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path+".new", []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	shim, binary := write("shim", "1"), write("runc", "1")
	synctest.Test(t, func(t *testing.T) {
		peer := &containerd{answers: map[string]func(context.Context) (*features.Features, error){
			shim: says(&features.Features{}, nil), "/broken": says(nil, errors.New("cannot be asked")),
		}}
		broken := config.Handler{Type: "io.containerd.other.v1", Path: "/broken"}
		h := handler.New(map[string]config.Handler{"runc": {Type: "io.containerd.runc.v2", Path: shim, Options: config.Options{BinaryName: binary}}, "broken": broken},
			handler.Kernel{RecursiveReadOnly: true}, peer, slog.New(slog.DiscardHandler))
		defer running(t, h)()
		after := func(d time.Duration) int {
			time.Sleep(d)
			synctest.Wait()
			return peer.times(shim)
		}
		if n := after(time.Hour); n != 1 {
			t.Errorf("asked %d times although nothing changed", n)
		}
		peer.mu.Lock()
		peer.answers[shim] = says(reports(true, false, false), nil)
		peer.mu.Unlock()
		write("runc", "22")
		if n := after(11 * time.Second); n != 2 || !h.Reports()["runc"].Features.RecursiveReadOnly {
			t.Errorf("a new OCI runtime: asked %d times, %+v", n, h.Reports()["runc"])
		}
		write("shim", "22")
		if n := after(11 * time.Second); n != 3 {
			t.Errorf("a new shim: asked %d times", n)
		}
		answer := func(f *features.Features, err error) {
			peer.mu.Lock()
			defer peer.mu.Unlock()
			peer.answers[shim] = says(f, err)
		}
		answer(nil, fmt.Errorf("containerd is upgraded as well: %w", errdefs.ErrUnavailable))
		write("shim", "333")
		if n := after(11 * time.Second); n != 4 || !h.Reports()["runc"].Features.RecursiveReadOnly {
			t.Errorf("a new shim without containerd: asked %d times, %+v", n, h.Reports()["runc"])
		}
		answer(reports(false, false, false), nil)
		if n := after(11 * time.Second); n != 5 || h.Reports()["runc"].Features.RecursiveReadOnly {
			t.Errorf("once it is back: asked %d times, %+v", n, h.Reports()["runc"])
		}
		if n := peer.times("/broken"); n < 50 || n > 62 {
			t.Errorf("the broken one is asked %d times in an hour", n)
		}
	})
}
