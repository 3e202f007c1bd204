// Package supervisor keeps a group of member processes running, in
// generations.
//
//	generation 1            generation 2
//	netsync ─┐              netsync ─┐
//	         ├▶ runtime ✗ ▷          ├▶ runtime …
//	streamer ┘    stop      streamer ┘
//	              in reverse,
//	              pause
//
// At most one generation exists at a time: every process of one has ended
// before the next begins. Only a member that hands over outlives its own: it
// works on until its successor has started, gives it the work, and drains. A critical member that ends or hangs ends its
// generation; one that is not critical is started again alone. Nothing that a
// member does ends the supervisor: it goes on with growing pauses until its
// context ends, and then stops the members in the reverse order of their start.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

// Supervisor runs generations. Run is called once; the other methods are
// safe for concurrent use.
type Supervisor struct {
	machine Machine
	watcher Watcher
	log     *slog.Logger
	board   board
	elders  elders

	mu        sync.Mutex
	plan      *Plan
	active    *request // what the current generation was asked for by, until it serves
	pending   *request // what the next generation is asked for by
	interrupt context.CancelCauseFunc
	closed    bool
}

// New returns a supervisor whose first generation runs plan.
func New(plan *Plan, machine Machine, watcher Watcher, log *slog.Logger) *Supervisor {
	s := &Supervisor{machine: machine, watcher: watcher, log: log, plan: plan, interrupt: func(error) {}}
	s.elders = elders{machine: machine, board: &s.board, log: log, stop: make(chan struct{})}
	s.board.begin(0, plan)
	return s
}

// Snapshot is the group as it is now. It waits for nothing.
func (s *Supervisor) Snapshot() Snapshot { return s.board.snapshot() }

// Run runs generations until ctx ends, and returns when every process has.
func (s *Supervisor) Run(ctx context.Context) {
	defer s.close()
	defer s.elders.wait()
	defer context.AfterFunc(ctx, s.elders.end)()
	pauses := pauses{}
	for number := int64(1); ctx.Err() == nil; number++ {
		round, plan := s.begin(ctx, number)
		pauses.Backoff = plan.Limits.Backoff
		served, err := s.generation(round, number, plan)
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, errRequested) {
			s.failed(round, number, err, pauses.next(served))
		}
	}
}

// begin makes the pending request the active one. The round, a generation
// and the pause after it, ends when another one is requested.
func (s *Supervisor) begin(ctx context.Context, number int64) (context.Context, *Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interrupt(nil) // releases the round before
	round, interrupt := context.WithCancelCause(ctx)
	s.interrupt = interrupt
	if s.active != nil && s.pending != nil {
		s.pending.overtaken = append(s.pending.overtaken, s.active)
	}
	s.active, s.pending = s.pending, nil
	if s.active != nil {
		if s.active.plan != nil {
			s.plan = s.active.plan
		}
		s.board.groupRestart(s.active.reason)
		s.log.Info("starting a new generation", "generation", number, "reason", s.active.reason)
	}
	s.board.begin(number, s.plan)
	return round, s.plan
}

// generation runs one generation and says how long it served.
func (s *Supervisor) generation(ctx context.Context, number int64, plan *Plan) (time.Duration, error) {
	begun := time.Now()
	g := &generation{plan: plan, machine: s.machine, board: &s.board, elders: &s.elders, log: s.log, serving: func() {
		s.log.Info("generation serves", "generation", number, "after", time.Since(begun).String())
		s.watcher.Serving(number)
		s.settle(number, nil)
	}}
	err := g.start(ctx)
	return g.served, err
}

// failed notes the failure and pauses, unless something else is asked for.
func (s *Supervisor) failed(round context.Context, number int64, reason error, pause time.Duration) {
	s.board.all(BackingOff)
	s.board.groupRestart(reason.Error())
	s.log.Error("generation failed, restarting the group", "generation", number, "reason", reason.Error(), "pause", pause.String())
	s.watcher.Down(reason.Error())
	s.settle(number, fmt.Errorf("generation %d does not serve: %w; the launcher goes on trying: %w", number, reason, errdefs.ErrUnavailable))
	sleep(round, pause)
}

// settle answers those who asked for the current generation.
func (s *Supervisor) settle(number int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active != nil {
		s.active.finish(number, err)
		s.active = nil
	}
}

// close answers everybody who still waits.
func (s *Supervisor) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.interrupt(nil)
	for _, r := range []*request{s.active, s.pending} {
		if r != nil {
			r.finish(0, fmt.Errorf("restart the group: the launcher is stopping: %w", errdefs.ErrUnavailable))
		}
	}
	s.active, s.pending = nil, nil
}
