package container

import (
	"context"
	"errors"
	"time"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// lost is the end of a container whose task is not there any more.
func lost(why string) exit {
	return exit{code: 255, at: time.Now(), reason: "ContainerStatusUnknown", message: why}
}

// Verify asks containerd for the task of every container that counts as
// running, in parallel.
func (s *Service) Verify(ctx context.Context) {
	limit := make(chan struct{}, verifyParallel)
	for _, c := range s.All() {
		if !c.Running() {
			continue
		}
		select {
		case limit <- struct{}{}:
		case <-ctx.Done():
			return
		}
		begun := s.background(func() {
			defer func() { <-limit }()
			if err := s.verify(ctx, c); err != nil && ctx.Err() == nil {
				s.logger(c).WarnContext(ctx, "container could not be looked at", "error", err)
			}
		})
		if !begun {
			return
		}
	}
}

// verifyParallel bounds the shims that are asked at the same time.
const verifyParallel = 16

// verify asks for one container's task. An end that it finds is worked off
// later, so that who waits for an answer does not wait for the members as well.
func (s *Service) verify(ctx context.Context, c *Container) error {
	task, err := s.Tasks.GetTask(ctx, c.ID)
	switch {
	case errdefs.IsNotFound(err), err == nil && task.Stopped:
		return s.goneOrEnded(ctx, c)
	case err != nil:
		return err
	case task.Created:
		return s.unstarted(ctx, c)
	}
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.give()
	if c.Running() {
		c.publish(func(st *State) { st.PID, st.Unsettled = task.PID, false })
	}
	return nil
}

// goneOrEnded looks again at a task that has ended or is gone, now that nobody
// destroys it to start it anew.
func (s *Service) goneOrEnded(ctx context.Context, c *Container) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.give()
	if !c.Running() {
		return nil
	}
	task, err := s.Tasks.GetTask(ctx, c.ID)
	switch {
	case errdefs.IsNotFound(err):
		s.endSoon(c, lost("its task is gone: containerd has lost it, or the start was cut short"))
	case err != nil:
		return err
	case task.Stopped:
		s.endSoon(c, exit{pid: task.PID, code: int32(task.ExitCode), at: task.ExitedAt})
	}
	return nil
}

const (
	// startGrace is how long a start that was under way when this process was
	// killed may take to be carried out after all.
	startGrace = 2 * time.Second
	startLook  = 50 * time.Millisecond
)

// unstarted deals with a task whose process was not started when this process
// was killed. containerd may be about to; if not, the container is what it was
// before the start: nothing of it has ever run.
func (s *Service) unstarted(ctx context.Context, c *Container) error {
	deadline := time.Now().Add(startGrace)
	for time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(startLook):
		}
		task, err := s.Tasks.GetTask(ctx, c.ID)
		if err != nil || !task.Created {
			return s.verify(ctx, c)
		}
	}
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.give()
	if !c.State().Unsettled {
		return nil // somebody else has settled it, and it may run by now
	}
	if err := s.destroyTask(ctx, c.ID); err != nil {
		return err
	}
	if err := errors.Join(s.Tuning.End(ctx, c.ID), s.marks.clear(c.ID)); err != nil {
		return err
	}
	c.unsure = true // its streams are there
	c.publish(func(st *State) {
		st.Phase, st.StartedAt = runtimeapi.ContainerState_CONTAINER_CREATED, time.Time{}
	})
	s.logger(c).WarnContext(ctx, "start that was cut short is taken back")
	return nil
}
