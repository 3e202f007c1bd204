// Package session keeps account of exec, attach and port-forward sessions:
// the tokens with which clients may open one, those that are open, and what
// they have moved. An ExecSync counts as a session, too.
//
// Invariant: a token opens at most one session, within its validity; a
// session that has begun is listed, and Drain sees it, until its End.
package session

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
)

// Kind is what a session does.
type Kind string

// The kinds of sessions.
const (
	Exec        Kind = "exec"
	Attach      Kind = "attach"
	PortForward Kind = "portforward"
	ExecSync    Kind = "execsync" // a call, not a client's connection
)

// ErrStopping is the cause with which Drain ends sessions. Its kind tells it
// from a client's leaving.
var ErrStopping = fmt.Errorf("the streamer is stopping: %w", errdefs.ErrUnavailable)

// lastWait is how long Drain waits for sessions that it has canceled.
const lastWait = 5 * time.Second

// Session is one that has begun. It is safe for concurrent use.
type Session struct {
	begun  Info // as it was then
	set    *Set
	cancel context.CancelCauseFunc

	in, out, connections atomic.Int64
	subprotocol          atomic.Pointer[string]
}

// Info is the session as it is now.
func (s *Session) Info() Info {
	info := s.begun
	if agreed := s.subprotocol.Load(); agreed != nil {
		info.Subprotocol = *agreed
	}
	info.Traffic = Traffic{In: s.in.Load(), Out: s.out.Load(), Connections: s.connections.Load()}
	return info
}

// Agreed notes the subprotocol.
func (s *Session) Agreed(subprotocol string) { s.subprotocol.Store(&subprotocol) }

// Sent counts n bytes for the client that no Writer has seen.
func (s *Session) Sent(n int) { s.out.Add(int64(n)) }

// End takes the session off the list, ends its context, and counts it by how
// it has ended.
func (s *Session) End(err error) {
	s.cancel(nil)
	s.set.counts.note(s.set.remove(s), err)
}

// Cancel ends the session's context with a cause.
func (s *Session) Cancel(cause error) { s.cancel(cause) }

// Set are the open sessions. It is safe for concurrent use.
type Set struct {
	counts   counts
	mu       sync.Mutex
	open     map[*Session]struct{}
	draining bool
	empty    chan struct{} // closed when a draining set is empty
}

// NewSet returns an empty set.
func NewSet() *Set { return &Set{counts: newCounts(), open: make(map[*Session]struct{})} }

// Begin opens a session that info describes and returns its context, which
// Drain ends. The caller must call End. Error: ErrUnavailable (draining).
func (s *Set) Begin(ctx context.Context, info Info) (context.Context, *Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return nil, nil, ErrStopping
	}
	ctx, cancel := context.WithCancelCause(ctx)
	info.Started = time.Now()
	opened := &Session{begun: info, set: s, cancel: cancel}
	s.open[opened] = struct{}{}
	return ctx, opened, nil
}

// remove returns what the session was at its end.
func (s *Set) remove(ended *Session) Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := ended.Info()
	s.counts.moved[info.Kind] = s.counts.moved[info.Kind].plus(info.Traffic)
	delete(s.open, ended)
	if s.draining && len(s.open) == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
	return info
}

// List returns the open sessions, oldest first.
func (s *Set) List() []Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Info, 0, len(s.open))
	for opened := range s.open {
		list = append(list, opened.Info())
	}
	slices.SortFunc(list, func(a, b Info) int { return a.Started.Compare(b.Started) })
	return list
}

// Drain refuses new sessions, gives the open ones until ctx ends to finish,
// then cancels them and waits for their end, though not for ever: a command
// whose shim hangs cannot be hurried. It returns how many are left. Call it
// once.
func (s *Set) Drain(ctx context.Context) int {
	s.mu.Lock()
	s.draining = true
	empty := make(chan struct{})
	if len(s.open) == 0 {
		s.mu.Unlock()
		return 0
	}
	s.empty = empty
	s.mu.Unlock()
	select {
	case <-empty:
		return 0
	case <-ctx.Done():
	}
	s.mu.Lock()
	for opened := range s.open {
		opened.cancel(ErrStopping)
	}
	s.mu.Unlock()
	select {
	case <-empty:
	case <-time.After(lastWait):
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}
