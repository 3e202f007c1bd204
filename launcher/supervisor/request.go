package supervisor

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
)

// errRequested is why a generation ends that somebody asked to end.
var errRequested = errors.New("a new generation is requested")

// request asks for a new generation.
type request struct {
	reason string
	plan   *Plan // nil for that of the generation before
	done   chan struct{}
	// overtaken requests ended before they served; this one answers them too.
	overtaken []*request

	// Valid after done.
	generation int64
	err        error
}

// finish answers all who wait for r.
func (r *request) finish(generation int64, err error) {
	r.generation, r.err = generation, err
	close(r.done)
	for _, earlier := range r.overtaken {
		earlier.finish(generation, err)
	}
}

// covers tells whether a caller who wants plan is served by r.
func (r *request) covers(plan *Plan) bool {
	return plan == nil || r.plan != nil && r.plan.Revision == plan.Revision
}

// Restart starts a new generation, with plan if it is not nil, and returns
// its number when it serves. Calls that want the same are joined. It fails
// with ErrUnavailable when the generation does not get to serve, though the
// supervisor goes on trying, or when the supervisor stops.
func (s *Supervisor) Restart(ctx context.Context, reason string, plan *Plan) (int64, error) {
	r, err := s.submit(reason, plan)
	if err != nil {
		return 0, err
	}
	select {
	case <-r.done:
		return r.generation, r.err
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for the new generation: %w", ctx.Err())
	}
}

// submit joins a request that is under way or ends the current generation
// for a new one.
func (s *Supervisor) submit(reason string, plan *Plan) (*request, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, fmt.Errorf("restart the group: the launcher is stopping: %w", errdefs.ErrUnavailable)
	case s.active != nil && s.pending == nil && s.active.covers(plan):
		return s.active, nil
	case s.pending == nil:
		s.pending = &request{reason: reason, plan: plan, done: make(chan struct{})}
	case plan != nil:
		s.pending.plan, s.pending.reason = plan, reason
	}
	s.interrupt(errRequested)
	return s.pending, nil
}
