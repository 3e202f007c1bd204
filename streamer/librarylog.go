package main

import (
	"context"
	"log/slog"

	containerdlog "github.com/containerd/log"
	"k8s.io/klog/v2"
)

// quiet sends the streaming library's own log, which repeats what sessions
// report, to ours as debugging. ttrpc's, of an answer that nobody waits for any
// more, says nothing to anybody.
func quiet(log *slog.Logger) {
	_ = containerdlog.SetLevel(containerdlog.PanicLevel)
	klog.SetSlogLogger(slog.New(asDebug{log.Handler()}))
}

// asDebug makes every record one of level debug.
type asDebug struct{ inner slog.Handler }

// Enabled implements slog.Handler.
func (h asDebug) Enabled(ctx context.Context, _ slog.Level) bool {
	return h.inner.Enabled(ctx, slog.LevelDebug)
}

// Handle implements slog.Handler.
func (h asDebug) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return h.inner.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h asDebug) WithAttrs(attrs []slog.Attr) slog.Handler { return asDebug{h.inner.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (h asDebug) WithGroup(name string) slog.Handler { return asDebug{h.inner.WithGroup(name)} }
