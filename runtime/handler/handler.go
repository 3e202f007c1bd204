// Package handler knows what each runtime handler can do.
//
//	shim -info ─▶ OCI runtime "features" ─┐
//	                                      ├─▶ Report, one a handler
//	kernel, configuration ────────────────┘
//
// Handlers are asked in the background, when Run begins and again whenever the
// program of the shim or of the OCI runtime is another one. Reports never
// waits; Features waits for the first answer, so that a request right after
// the start is not refused for an answer that is not there yet.
//
// Invariant: a feature is only claimed if the OCI runtime reports it, or is
// known to have it since before it could report, and the kernel has it as
// well. A handler that cannot be asked has no features; it still runs pods
// that need none.
package handler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// Where the features in a Report are from.
const (
	FromRuntime = "runtime" // the OCI runtime reports them
	FromKernel  = "kernel"  // the runtime is known to follow the kernel, but cannot report
	FromNobody  = "none"    // nobody vouches for any
)

// Report is what is known of a handler. A published one never changes.
type Report struct {
	Features spec.Features `json:"features"`
	Source   string        `json:"source"`
	// Runtime is what the OCI runtime itself says; nil if it says nothing.
	Runtime *features.Features `json:"runtime,omitempty"`
	// Problem says why the handler could not be asked; empty if it could.
	Problem string    `json:"problem,omitempty"`
	AskedAt time.Time `json:"asked_at"`
}

// Kernel is what this machine's kernel can do.
type Kernel struct {
	RecursiveReadOnly bool // it has mount_setattr(2)
	UserNamespaces    bool
}

// Containerd asks OCI runtimes; *engine.Engine does.
type Containerd interface {
	// RuntimeFeatures is errdefs.ErrNotImplemented if the runtime cannot say.
	RuntimeFeatures(ctx context.Context, handler config.Handler) (*features.Features, error)
}

// Handlers are the runtime handlers of one configuration. All methods may be
// called concurrently.
type Handlers struct {
	containerd Containerd
	kernel     Kernel
	log        *slog.Logger
	all        map[string]*known
}

// known is one handler. Only Run's goroutine for it writes.
type known struct {
	name     string
	config   config.Handler
	report   atomic.Pointer[Report]
	answered chan struct{} // closed with the first report
}

// New returns handlers that nothing is known of before Run.
func New(configured map[string]config.Handler, kernel Kernel, containerd Containerd, log *slog.Logger) *Handlers {
	h := &Handlers{containerd: containerd, kernel: kernel, log: log, all: make(map[string]*known, len(configured))}
	for name, cfg := range configured {
		h.all[name] = &known{name: name, config: cfg, answered: make(chan struct{})}
	}
	return h
}

// Reports are those that there are, by handler. It never waits.
func (h *Handlers) Reports() map[string]Report {
	reports := make(map[string]Report, len(h.all))
	for name, k := range h.all {
		if r := k.report.Load(); r != nil {
			reports[name] = *r
		}
	}
	return reports
}

// Features is what a handler can do. It waits until the handler has been asked
// once, with ctx. A handler that is not configured is errdefs.ErrNotFound.
func (h *Handlers) Features(ctx context.Context, name string) (spec.Features, error) {
	k, ok := h.all[name]
	if !ok {
		return spec.Features{}, fmt.Errorf("runtime handler %q is not configured (configured are %s): %w",
			name, strings.Join(slices.Sorted(maps.Keys(h.all)), ", "), errdefs.ErrNotFound)
	}
	select {
	case <-k.answered:
	case <-ctx.Done():
		if k.report.Load() == nil {
			return spec.Features{}, fmt.Errorf("wait for the features of runtime handler %q: %w", name, context.Cause(ctx))
		}
	}
	return k.report.Load().Features, nil
}

// ask makes a new report of a handler. away says that there was no containerd to
// answer.
func (h *Handlers) ask(ctx context.Context, k *known) (_ Report, away bool) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	report := Report{Source: FromNobody, AskedAt: time.Now()}
	reported, err := h.containerd.RuntimeFeatures(ctx, k.config)
	switch {
	case err == nil:
		report.Source, report.Runtime, report.Features = FromRuntime, reported, judge(reported, h.kernel)
	case errdefs.IsNotImplemented(err) && followsKernel(k.config):
		report.Source = FromKernel
		report.Features.RecursiveReadOnly = h.kernel.RecursiveReadOnly
	case !errdefs.IsNotImplemented(err):
		report.Problem = err.Error()
		if errors.Is(err, context.DeadlineExceeded) {
			report.Problem = fmt.Sprintf("no answer in %s: %s", askLimit, report.Problem)
		}
	}
	return report, errdefs.IsUnavailable(err)
}

// judge takes from what an OCI runtime says what the CRI asks about.
func judge(f *features.Features, kernel Kernel) spec.Features {
	own := spec.Features{RecursiveReadOnly: kernel.RecursiveReadOnly && slices.Contains(f.MountOptions, "rro")}
	if f.Linux == nil {
		return own
	}
	if m := f.Linux.MountExtensions; m != nil && m.IDMap != nil && m.IDMap.Enabled != nil {
		// The system call that makes mounts read-only all the way down is also
		// the one that shifts their owners.
		own.IDMappedMounts = *m.IDMap.Enabled && kernel.RecursiveReadOnly
	}
	own.UserNamespaces = own.IDMappedMounts && kernel.UserNamespaces && slices.Contains(f.Linux.Namespaces, "user")
	return own
}

// followsKernel tells whether a runtime that cannot report its features is
// crun, which knew recursive read-only mounts long before it could say so. With
// other runtimes such a mount might just be an ordinary one. Shifted owners are
// not taken for granted of anybody: containerd starts no container with them
// unless the OCI runtime reports that it knows them.
func followsKernel(cfg config.Handler) bool {
	return spec.IsRunc(cfg) && strings.HasPrefix(filepath.Base(cfg.Options.BinaryName), "crun")
}
