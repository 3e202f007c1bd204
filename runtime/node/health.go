package node

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	checkEvery = 2 * time.Second
	checkLimit = 5 * time.Second
)

// Containerd answers or does not; *engine.Engine tells.
type Containerd interface {
	Check(ctx context.Context) error
}

// Health is whether containerd answers, as of a moment ago: who asks never
// waits for it.
type Health struct {
	containerd Containerd
	log        *slog.Logger
	problem    atomic.Pointer[error]
}

// NewHealth returns a good health; the process starts when containerd answers.
func NewHealth(containerd Containerd, log *slog.Logger) *Health {
	h := &Health{containerd: containerd, log: log}
	h.problem.Store(new(error))
	return h
}

// Error is nil while containerd answers, and else says why it does not.
func (h *Health) Error() error { return *h.problem.Load() }

// Run asks containerd until ctx ends.
func (h *Health) Run(ctx context.Context) error { return regularly(ctx, h.check) }

// regularly calls check until ctx ends, each time with a context that ends
// soon.
func regularly(ctx context.Context, check func(ctx, limited context.Context)) error {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		limited, cancel := context.WithTimeout(ctx, checkLimit)
		check(ctx, limited)
		cancel()
	}
}

func (h *Health) check(ctx, limited context.Context) {
	err := h.containerd.Check(limited)
	if ctx.Err() != nil {
		return // it is this process that ends
	}
	before := h.Error()
	h.problem.Store(&err)
	switch {
	case err != nil && before == nil:
		h.log.ErrorContext(ctx, "containerd does not answer", "error", err)
	case err == nil && before != nil:
		h.log.InfoContext(ctx, "containerd answers again")
	case errors.Is(err, context.DeadlineExceeded):
		h.log.DebugContext(ctx, "containerd still does not answer", "error", err)
	}
}
