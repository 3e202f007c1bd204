package group

import (
	"context"
	"fmt"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/launcher/supervisor"
)

// Restarter starts a new generation with a plan and returns its number when
// it serves.
type Restarter interface {
	Restart(ctx context.Context, reason string, plan *supervisor.Plan) (int64, error)
}

// Notifier tells the service manager about a reload.
type Notifier interface {
	// Reloading is called before the file is read.
	Reloading()
	// Reloaded is called at the end, with why nothing has changed, or nil.
	Reloaded(err error)
}

// Reloader takes the configuration over into a new generation. It is safe
// for concurrent use.
type Reloader struct {
	source   Source
	planner  *Planner
	restart  Restarter
	notifier Notifier

	mu      sync.Mutex
	current *Settings
}

// NewReloader returns a reloader whose generations run current.
func NewReloader(source Source, current *Settings, planner *Planner, restart Restarter, notifier Notifier) *Reloader {
	return &Reloader{source: source, current: current, planner: planner, restart: restart, notifier: notifier}
}

// Reload reads the file again and returns the number of the generation that
// serves with it. A mistake in it is an error of the kind ErrInvalidArgument
// that names file, line and key; the running generation then stays.
func (r *Reloader) Reload(ctx context.Context) (int64, error) {
	r.notifier.Reloading()
	plan, err := r.read()
	if err != nil {
		r.notifier.Reloaded(err)
		return 0, err
	}
	number, err := r.restart.Restart(ctx, "reload of "+r.source.Path(), plan)
	r.notifier.Reloaded(err)
	return number, err
}

// read accepts the file or refuses it.
func (r *Reloader) read() (*supervisor.Plan, error) {
	next, err := r.source.Read()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errdefs.ErrInvalidArgument, err)
	}
	r.mu.Lock()
	current := r.current
	r.mu.Unlock()
	if err := next.replaces(current, r.source); err != nil {
		return nil, err
	}
	plan, err := r.planner.Plan(next)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errdefs.ErrFailedPrecondition, err)
	}
	r.mu.Lock()
	r.current = next
	r.mu.Unlock()
	return plan, nil
}
