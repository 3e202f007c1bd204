package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/tests/harness"
)

// The figures of the suite, in the order of the table. Goals are those of the
// first release: there is no pause container to start.
var startFigures = []struct {
	name string
	goal float64
}{
	{"RunPodSandbox", 0.6},
	{"CreateContainer", 0},
	{"StartContainer", 0},
	{"pod ready", 0.8},
	{"pod gone", 0},
	{"CPU a pod", 0},
	{"CPU a pod, daemons", 0},
}

// samples are milliseconds by figure.
type samples struct {
	mu sync.Mutex
	by map[string][]float64
}

func (s *samples) add(name string, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by[name] = append(s.by[name], float64(took)/float64(time.Millisecond))
}

// start runs the suite at one concurrency. Rounds alternate, and so does who
// begins a round: what drifts on the machine meets both alike.
func (s *sides) start(ctx context.Context, concurrency int, opts *options) ([]figure, error) {
	var measured [2]*samples
	warm := &samples{by: make(map[string][]float64)}
	for i, side := range s.both {
		measured[i] = &samples{by: make(map[string][]float64)}
		if err := side.batch(ctx, concurrency, concurrency, warm); err != nil {
			return nil, err
		}
	}
	pods := max(opts.pods*concurrency, 4)
	for round := range opts.rounds {
		progress("concurrency %d, round %d of %d: %d pods each", concurrency, round+1, opts.rounds, pods)
		for turn := range s.both {
			i := (turn + round) % len(s.both)
			if err := s.both[i].batch(ctx, concurrency, pods, measured[i]); err != nil {
				return nil, err
			}
		}
	}
	var figures []figure
	for _, f := range startFigures {
		figures = append(figures, compare(f.name, concurrency, f.goal, measured[0].by[f.name], measured[1].by[f.name]))
	}
	return figures, nil
}

// batch starts and removes pods, concurrency at a time, and adds to the samples.
func (s *side) batch(ctx context.Context, concurrency, pods int, into *samples) error {
	usedBefore, err := s.account.read()
	if err != nil {
		return err
	}
	daemonsBefore, err := daemonTime(s.daemons)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for range pods {
		group.Go(func() error { return s.pod(ctx, into) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	used, err := s.account.read()
	if err != nil {
		return err
	}
	daemons, err := daemonTime(s.daemons)
	if err != nil {
		return err
	}
	into.add("CPU a pod", (used-usedBefore)/time.Duration(pods))
	into.add("CPU a pod, daemons", (daemons-daemonsBefore)/time.Duration(pods))
	return nil
}

// pod measures the life of one pod.
func (s *side) pod(ctx context.Context, into *samples) error {
	cri := s.stage.CRI()
	cfg, err := cri.PodConfig("bench-" + harness.Unique()[:8])
	if err != nil {
		return err
	}
	begun := time.Now()
	pod, err := cri.RunPodConfig(ctx, cfg, "")
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
