package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/tests/harness"
)

// execTimeout is a probe's.
const execTimeout = 30 * time.Second

// exec runs the suite: commands that are waited for, alone and at the same
// time, and the probes of many containers.
func (s *sides) exec(ctx context.Context, opts *options) (_ []figure, err error) {
	var all []figure
	for _, concurrency := range opts.concurrency {
		measured, err := s.commands(ctx, concurrency, opts)
		if err != nil {
			return nil, err
		}
		all = append(all, measured...)
	}
	probed, err := s.probes(ctx, opts)
	return append(all, probed...), err
}

// execRows are the figures at one concurrency: alone it is the latency that
// has a goal, otherwise the rate.
func execRows(concurrency int) []row {
	rows := []row{
		{Name: "ExecSync true", Unit: "ms"},
		{Name: "ExecSync true, p95", Unit: "ms", Of: "ExecSync true", Tail: true},
		{Name: "ExecSync true, rate", Unit: "1/s", More: true},
		{Name: "CPU an ExecSync", Unit: "ms"},
		{Name: "CPU an ExecSync, daemons", Unit: "ms"},
	}
	if concurrency == 1 {
		rows[0].Goal, rows[1].Goal = 1, 1
	} else {
		rows[2].Goal = 1.1
	}
	return rows
}

// commands measures ExecSync in one container of each side.
func (s *sides) commands(ctx context.Context, concurrency int, opts *options) ([]figure, error) {
	containers, remove, err := s.containers(ctx, 1)
	if err != nil {
		return nil, err
	}
	defer remove()
	measured, err := s.inTurns(fmt.Sprintf("ExecSync, concurrency %d", concurrency), opts.rounds, nil, func(s *side, into *samples) error {
		container := containers[s][0]
		total := opts.commands * concurrency
		return s.withCPU("CPU an ExecSync", into, func() (int, error) {
			begun := time.Now()
			group, ctx := errgroup.WithContext(ctx)
			for range concurrency {
				group.Go(func() error {
					for range opts.commands {
						if err := probe(ctx, container, into); err != nil {
							return err
						}
					}
					return nil
				})
			}
			err := group.Wait()
			into.value("ExecSync true, rate", float64(total)/time.Since(begun).Seconds())
			return total, err
		})
	})
	return figures("exec", concurrency, execRows(concurrency), measured), err
}

// probe runs true in a container as a kubelet's probe does.
func probe(ctx context.Context, container *harness.Container, into *samples) error {
	begun := time.Now()
	reply, err := container.ExecSync(ctx, execTimeout, "true")
	if err != nil {
		return err
	}
	if reply.GetExitCode() != 0 {
		return fmt.Errorf("true in container %s: exit code %d: %s", container.ID, reply.GetExitCode(), reply.GetStderr())
	}
	into.add("ExecSync true", time.Since(begun))
	return nil
}

// containers runs n pods with a container each on both sides. remove takes
// them away; what it cannot remove the sides' end does.
func (s *sides) containers(ctx context.Context, n int) (map[*side][]*harness.Container, func(), error) {
	found := make(map[*side][]*harness.Container)
	remove := func() {
		ctx := context.WithoutCancel(ctx)
		for _, list := range found {
			var group errgroup.Group
			group.SetLimit(startAtOnce)
			for _, container := range list {
				if container != nil {
					group.Go(func() error { return container.Pod.Remove(ctx) })
				}
			}
			_ = group.Wait()
		}
	}
	for _, side := range s.both {
		harness.Progress("%s: starting %d pods", side.name, n)
		list := make([]*harness.Container, n)
		found[side] = list
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(startAtOnce)
		for i := range n {
			group.Go(func() error {
				pod, err := side.run(ctx, "bench-")
				if err != nil {
					return err
				}
				list[i], err = pod.Run(ctx, "main", harness.Shell("trap 'exit 0' TERM; sleep 100000 & wait"))
				return err
			})
		}
		if err := group.Wait(); err != nil {
			remove()
			return nil, nil, fmt.Errorf("%s: %w", side.name, err)
		}
	}
	return found, remove, nil
}

// startAtOnce is how many pods are started at a time.
const startAtOnce = 4
