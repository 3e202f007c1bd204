package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/tests/harness"
)

// probeRows are the figures of the probes: a machine that is too small for
// one probe a second of each container makes fewer, so it is the CPU time of
// a probe that counts.
var probeRows = []row{
	{Name: "CPU a probe", Unit: "ms", Goal: 0.9},
	{Name: "CPU a probe, daemons", Unit: "ms"},
	{Name: "probe", Unit: "ms", Of: "ExecSync true"},
	{Name: "probes", Unit: "1/s", More: true},
}

// probes measures many containers with an exec probe each, as a kubelet runs
// them: every second, one at a time in a container.
func (s *sides) probes(ctx context.Context, opts *options) ([]figure, error) {
	containers, remove, err := s.containers(ctx, opts.containers)
	if err != nil {
		return nil, err
	}
	defer remove()
	what := fmt.Sprintf("%d containers with probes", opts.containers)
	once := func(s *side, into *samples) error { return s.probe(ctx, containers[s], time.Second, into) }
	measured, err := s.inTurns(what, opts.rounds, once, func(s *side, into *samples) error {
		return s.probe(ctx, containers[s], time.Duration(opts.seconds)*time.Second, into)
	})
	return figures("exec", opts.containers, probeRows, measured), err
}

// probe probes for some time.
func (s *side) probe(ctx context.Context, containers []*harness.Container, d time.Duration, into *samples) error {
	return s.withCPU("CPU a probe", into, func() (int, error) {
		begun := time.Now()
		var probed atomic.Int64
		group, ctx := errgroup.WithContext(ctx)
		until, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		for i, container := range containers {
			// A kubelet spreads the first ones too.
			first := time.Second * time.Duration(i) / time.Duration(len(containers))
			group.Go(func() error {
				return everySecond(until, first, func() error {
					defer probed.Add(1)
					return probe(ctx, container, into)
				})
			})
		}
		err := group.Wait()
		into.value("probes", float64(probed.Load())/time.Since(begun).Seconds())
		return max(int(probed.Load()), 1), err
	})
}

// everySecond calls fn every second until ctx ends. Turns that it is too slow
// for are left out.
func everySecond(ctx context.Context, first time.Duration, fn func() error) error {
	begin := time.NewTimer(first)
	defer begin.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-begin.C:
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		if err := fn(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
