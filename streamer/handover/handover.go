// Package handover gives the work of this process to a successor, while the
// process lives on for the sessions that it has.
//
//	launcher ── HandOver ──▶ this process              successor, started already
//	                         stops to accept            waits for the lock
//	                         leaves unused tokens
//	                         closes its socket
//	                         stops the pumps, unlocks ─▶ takes tokens, socket, pumps
//	         ◀── released ── drains                    ◀─ Follow ── for attach sessions
//
// What fails midway leaves a process that is good for nothing but its end; the
// launcher then stops it, and its sessions end as they do without a successor.
package handover

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/pump"
	"github.com/trivet-cri/trivet/streamer/session"
)

// Pumps are what the successor goes on with.
type Pumps interface {
	Settle(ctx context.Context) error
	HandOver(ctx context.Context, next pump.Successor) (pumps int, err error)
}

// Streams is the streaming server.
type Streams interface {
	Retire(ctx context.Context) error
}

// Parts are what a hand-over is about.
type Parts struct {
	Pumps    Pumps
	Streams  Streams
	Tokens   *session.Tokens
	Sessions *session.Set
	Next     pump.Successor
	// TokenFile is where the successor looks for tokens.
	TokenFile string
}

// HandOver is done at most once.
type HandOver struct {
	parts Parts
	log   *slog.Logger
	begun atomic.Bool
	shut  chan struct{} // closed when the socket is to be closed
	door  *door
}

// New returns a hand-over that has not begun.
func New(parts Parts, log *slog.Logger) *HandOver {
	return &HandOver{parts: parts, log: log, shut: make(chan struct{}), door: &door{closed: make(chan struct{})}}
}

// Door wraps the internal socket's listener, so that its end is seen. It is
// called once, before the listener is served.
func (h *HandOver) Door(listener net.Listener) net.Listener {
	h.door.Listener = listener
	return h.door
}

// Shut is closed when whoever serves the door is to stop.
func (h *HandOver) Shut() <-chan struct{} { return h.shut }

// Do hands over, if pid is this process's. Errors: ErrFailedPrecondition (it
// is not, or it was done before), ErrUnavailable.
func (h *HandOver) Do(ctx context.Context, pid int) (*streamerv1.HandOverResponse, error) {
	if pid != os.Getpid() {
		return nil, fmt.Errorf("hand over: this is process %d, not %d: %w", os.Getpid(), pid, errdefs.ErrFailedPrecondition)
	}
	if h.begun.Swap(true) {
		return nil, fmt.Errorf("hand over: done before: %w", errdefs.ErrFailedPrecondition)
	}
	begun := time.Now()
	if err := h.parts.Pumps.Settle(ctx); err != nil {
		return nil, fmt.Errorf("hand over: %w", err)
	}
	if err := h.parts.Streams.Retire(ctx); err != nil {
		return nil, fmt.Errorf("hand over: %w", err)
	}
	if err := h.parts.Tokens.HandOver(h.parts.TokenFile); err != nil {
		return nil, fmt.Errorf("hand over: %w", err)
	}
	close(h.shut)
	select {
	case <-h.door.closed:
	case <-ctx.Done():
		return nil, fmt.Errorf("hand over: close the socket: %w", context.Cause(ctx))
	}
	pumps, err := h.parts.Pumps.HandOver(ctx, h.parts.Next)
	if err != nil {
		return nil, fmt.Errorf("hand over: %w", err)
	}
	sessions := len(h.parts.Sessions.List())
	h.log.InfoContext(ctx, "handed over, staying for the sessions", "pumps", pumps, "sessions", sessions, "after", time.Since(begun).String())
	return &streamerv1.HandOverResponse{Pumps: int32(pumps), Sessions: int32(sessions)}, nil
}

// door tells when a listener has been closed.
type door struct {
	net.Listener
	once   sync.Once
	closed chan struct{}
}

// Close closes the listener.
func (d *door) Close() error {
	defer d.once.Do(func() { close(d.closed) })
	return d.Listener.Close()
}
