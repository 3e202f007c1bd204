package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
)

// patience is how long a client repeats a call, as a kubelet does, before the
// pod counts as lost.
const patience = time.Minute

// exitCode is what each churned container ends with.
const exitCode = 3

// churn starts and removes pods all the time. Each of its calls is repeated
// with the same request until it succeeds.
type churn struct {
	stop    context.CancelFunc
	workers sync.WaitGroup
	mu      sync.Mutex
	done    int
	lost    []error
}

// startChurn starts the workers; the test of logs leaves the machine to its writers.
func startChurn(ctx context.Context, group *harness.Group, name string) *churn {
	ctx, cancel := context.WithCancel(ctx)
	c := &churn{stop: cancel}
	workers := 2
	if name == "log" {
		workers = 0
	}
	for range workers {
		c.workers.Go(func() {
			for ctx.Err() == nil {
				err := life(context.WithoutCancel(ctx), group.CRI) // a life that has begun is ended
				c.mu.Lock()
				c.done++
				if err != nil {
					c.lost = append(c.lost, err)
				}
				c.mu.Unlock()
			}
		})
	}
	return c
}

// finish waits for the lives under way.
func (c *churn) finish(d *damage) {
	c.stop()
	c.workers.Wait()
	harness.Progress("%d pods lived meanwhile", c.done)
	d.pods += len(c.lost)
	for _, err := range c.lost {
		d.note("pod lost: %v", err)
	}
}

// life runs a pod with a container that writes a line and exits, checks
// both, and removes everything.
func life(ctx context.Context, cri *harness.CRI) error {
	cfg, err := cri.PodConfig("churn-" + harness.Unique()[:8])
	if err != nil {
		return err
	}
	var pod *harness.Pod
	if err := insist(ctx, "run pod", func(ctx context.Context) (err error) {
		pod, err = cri.RunPodConfig(ctx, cfg, "")
		return err
	}); err != nil {
		return err
	}
	var container *harness.Container
	err = insist(ctx, "create container", func(ctx context.Context) (err error) {
		container, err = pod.Create(ctx, "main", harness.Shell(fmt.Sprintf("echo 0; exit %d", exitCode)))
		return err
	})
	if err == nil {
		err = runToEnd(ctx, container)
	}
	return errors.Join(err, insist(ctx, "remove pod", pod.Remove))
}

// runToEnd starts the container and checks its exit code and its log.
func runToEnd(ctx context.Context, container *harness.Container) error {
	if err := insist(ctx, "start container", func(ctx context.Context) error { return started(ctx, container) }); err != nil {
		return err
	}
	return insist(ctx, "see container exit", func(ctx context.Context) error {
		status, err := container.Status(ctx)
		if err != nil {
			return err
		}
		if status.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED {
			return fmt.Errorf("state is %s", status.GetState())
		}
		if status.GetExitCode() != exitCode {
			return fmt.Errorf("exit code is %d, reason %s, want %d", status.GetExitCode(), status.GetReason(), exitCode)
		}
		loss, err := harness.JudgeCounter(container.LogPath)
		if err != nil {
			return err
		}
		return loss.Complete()
	})
}

// started starts the container; one that a call whose answer was lost has
// started is fine.
func started(ctx context.Context, container *harness.Container) error {
	err := container.Start(ctx)
	if err == nil {
		return nil
	}
	status, statusErr := container.Status(ctx)
	if statusErr == nil && status.GetState() != runtimeapi.ContainerState_CONTAINER_CREATED {
		return nil
	}
	return errors.Join(err, statusErr)
}

// insist repeats a call until it succeeds or patience ends.
func insist(ctx context.Context, what string, call func(context.Context) error) error {
	return harness.WaitFor(ctx, patience, what, call)
}
