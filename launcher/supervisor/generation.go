package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// generation is one run of the whole group.
type generation struct {
	plan    *Plan
	machine Machine
	board   *board
	elders  *elders
	log     *slog.Logger
	serving func()        // called once, when all stages serve
	served  time.Duration // from then to the first failure
}

// run starts the members of the first of stages and, inside, the further
// stages, until ctx ends or a critical member fails; the cause is returned
// when every process has ended. A stage's members end only after the stages
// inside it: the nesting is the order of stopping.
func (g *generation) run(ctx context.Context, stages [][]Member) error {
	if len(stages) == 0 {
		ready := time.Now()
		g.serving()
		<-ctx.Done()
		g.served = time.Since(ready)
		return context.Cause(ctx)
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	// The members do not see the end of ctx: they outlive the inner stages.
	own, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var members errgroup.Group
	settled := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Add(len(stages[0]))
	for _, m := range stages[0] {
		k := &keeper{Member: m, limits: &g.plan.Limits, machine: g.machine, board: g.board, elders: g.elders, log: g.log}
		members.Go(func() error {
			once := sync.OnceFunc(waiting.Done)
			defer once()
			if err := k.run(own, once); err != nil {
				fail(err)
			}
			return nil
		})
	}
	members.Go(func() error { waiting.Wait(); close(settled); return nil })
	select {
	case <-settled:
	case <-ctx.Done():
	}
	if ctx.Err() == nil {
		fail(g.run(ctx, stages[1:])) // the first failure stays the cause
	}
	stop()
	_ = members.Wait() // its functions return nil
	return context.Cause(ctx)
}

// start prepares and runs the whole plan.
func (g *generation) start(ctx context.Context) error {
	if err := g.plan.Prepare(); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	return g.run(ctx, g.plan.Stages)
}
