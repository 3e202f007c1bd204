package handler

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/spec"
)

const (
	// askLimit bounds one question to an OCI runtime, a fork and an exec.
	askLimit = 10 * time.Second
	// lookEvery is how often the programs are looked at for a change.
	lookEvery = 10 * time.Second
	// retryEvery is how often a handler that could not be asked is asked again.
	retryEvery = time.Minute
)

// Run keeps the reports up to date until ctx ends. A handler that hangs holds
// up no other.
func (h *Handlers) Run(ctx context.Context) error {
	var group errgroup.Group
	for _, k := range h.all {
		group.Go(func() error {
			h.follow(ctx, k)
			return nil
		})
	}
	return group.Wait()
}

// follow asks one handler now, and again when its programs change.
func (h *Handlers) follow(ctx context.Context, k *known) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	seen, asked := "", time.Time{}
	for {
		now := stamp(k.config)
		report := k.report.Load()
		again := report != nil && report.Problem != "" && time.Since(asked) >= retryEvery
		if report == nil || again || now != seen {
			next, away := h.ask(ctx, k)
			if ctx.Err() != nil {
				return // it is this process that ends
			}
			// While containerd is away, as when it is upgraded together with its
			// shims, the answer before holds; it is asked at the next look.
			if !away || report == nil {
				seen, asked = now, time.Now()
				h.publish(ctx, k, report, &next)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// publish makes a report known, and logs what is new about it.
func (h *Handlers) publish(ctx context.Context, k *known, before, next *Report) {
	k.report.Store(next)
	if before == nil {
		close(k.answered)
	}
	log := h.log.With("handler", k.name)
	switch {
	case next.Problem != "" && (before == nil || before.Problem == ""):
		log.WarnContext(ctx, "runtime handler cannot be asked for its features: it counts as having none", "error", next.Problem)
	case next.Problem == "" && (before == nil || before.Features != next.Features || before.Problem != ""):
		log.InfoContext(ctx, "runtime handler's features are known", "source", next.Source,
			"recursive_read_only_mounts", next.Features.RecursiveReadOnly, "user_namespaces", next.Features.UserNamespaces)
	}
}

// stamp changes when one of the handler's programs does. One that is not found
// is left out: containerd may have another PATH, and tells if it finds none.
func stamp(cfg config.Handler) string {
	var text strings.Builder
	for _, program := range programs(cfg) {
		path, err := exec.LookPath(program)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			continue
		}
		fmt.Fprintf(&text, "%s %d %d %d %d\n", path, st.Dev, st.Ino, st.Size, st.Mtim.Nano())
	}
	return text.String()
}

// programs are a handler's shim and, for runc's shim, its OCI runtime.
func programs(cfg config.Handler) []string {
	shim := cfg.Path
	if shim == "" {
		shim = shimName(cfg.Type)
	}
	if !spec.IsRunc(cfg) {
		return []string{shim}
	}
	if cfg.Options.BinaryName != "" {
		return []string{shim, cfg.Options.BinaryName}
	}
	return []string{shim, "runc"}
}

// shimName is the program that containerd looks for: containerd-shim-runc-v2
// for io.containerd.runc.v2.
func shimName(runtimeType string) string {
	parts := strings.Split(runtimeType, ".")
	if len(parts) < 2 {
		return runtimeType
	}
	return "containerd-shim-" + parts[len(parts)-2] + "-" + parts[len(parts)-1]
}
