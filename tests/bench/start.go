package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/tests/harness"
)

// startRows are the figures of the suite. Goals are those of the first
// release: there is no pause container to start.
var startRows = []row{
	{Name: "RunPodSandbox", Unit: "ms", Goal: 0.6},
	{Name: "CreateContainer", Unit: "ms"},
	{Name: "StartContainer", Unit: "ms"},
	{Name: "pod ready", Unit: "ms", Goal: 0.8},
	{Name: "pod gone", Unit: "ms"},
	{Name: "CPU a pod", Unit: "ms"},
	{Name: "CPU a pod, daemons", Unit: "ms"},
}

// start runs the suite.
func (s *sides) start(ctx context.Context, opts *options) ([]figure, error) {
	var all []figure
	for _, concurrency := range opts.concurrency {
		measured, err := s.inTurns(fmt.Sprintf("pods, concurrency %d", concurrency), opts.rounds,
			func(s *side, into *samples) error { return s.pods(ctx, concurrency, concurrency, into) },
			func(s *side, into *samples) error {
				return s.pods(ctx, concurrency, max(opts.pods*concurrency, 4), into)
			})
		if err != nil {
			return nil, err
		}
		all = append(all, figures("start", concurrency, startRows, measured)...)
	}
	return all, nil
}

// pods starts and removes pods, concurrency at a time.
func (s *side) pods(ctx context.Context, concurrency, pods int, into *samples) error {
	return s.withCPU("CPU a pod", into, func() (int, error) {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(concurrency)
		for range pods {
			group.Go(func() error { return s.pod(ctx, into) })
		}
		return pods, group.Wait()
	})
}

// pod measures the life of one pod.
func (s *side) pod(ctx context.Context, into *samples) error {
	begun := time.Now()
	pod, err := s.run(ctx, "bench-")
	if err != nil {
		return err
	}
	ran := time.Now()
	container, err := pod.Create(ctx, "main", harness.Shell("echo up; trap 'exit 0' TERM; sleep 1000 & wait"))
	if err != nil {
		return err
	}
	created := time.Now()
	if err := container.Start(ctx); err != nil {
		return err
	}
	started := time.Now()
	if err := awaitBytes(ctx, container.LogPath); err != nil {
		return err
	}
	ready := time.Now()
	if err := pod.Remove(ctx); err != nil {
		return err
	}
	into.add("pod gone", time.Since(ready))
	into.add("RunPodSandbox", ran.Sub(begun))
	into.add("CreateContainer", created.Sub(ran))
	into.add("StartContainer", started.Sub(created))
	into.add("pod ready", ready.Sub(begun))
	return nil
}

// awaitBytes waits until a file has content.
func awaitBytes(ctx context.Context, path string) error {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("first line of log %s: %w", path, ctx.Err())
		case <-ticker.C:
		}
	}
}
