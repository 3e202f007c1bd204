package container

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/internal/undo"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/operation"
	"github.com/trivet-cri/trivet/runtime/pod"
)

// exitStartFailed is the exit code of a container whose start failed, as
// other runtimes have it.
const exitStartFailed = 128

// Start runs a created container. A retry joins the start under way; one that
// runs already is errdefs.ErrFailedPrecondition. A container whose start fails
// has exited, with the OCI runtime's words as its message: it is never started
// twice. Only one that fails with errdefs.ErrUnavailable before its process was
// to start is still created, and can be started again.
func (s *Service) Start(ctx context.Context, c *Container, p *pod.Pod) error {
	what := "start container " + c.ID
	_, err := operation.Do(ctx, s.operations, "start/"+c.ID, what, s.Config.CreateTimeout.Std(), func(ctx context.Context) (struct{}, error) {
		leave, err := p.Enter()
		if err != nil {
			return struct{}{}, err
		}
		defer leave()
		if c.State().Unsettled {
			if err := s.verify(ctx, c); err != nil {
				return struct{}{}, err
			}
		}
		if err := c.take(ctx); err != nil {
			return struct{}{}, err
		}
		err = s.start(ctx, c)
		c.give()
		// Without the turn: a slow plugin holds up nothing else.
		if err == nil {
			s.PinShim(ctx, c.ID, c.Handler, p.Config.GetAnnotations())
			s.Hooks.ContainerStarted(ctx, c)
		} else {
			s.tellEnd(ctx, c)
		}
		return struct{}{}, err
	})
	return err
}

func (s *Service) start(ctx context.Context, c *Container) error {
	s.describe(ctx, c)
	if state := c.State(); state.Phase != runtimeapi.ContainerState_CONTAINER_CREATED || state.Removing {
		return fmt.Errorf("container %s is not in state created but %s: %w", c.ID, state.Phase, errdefs.ErrFailedPrecondition)
	}
	begun := time.Now()
	resumed := c.unsure
	if resumed {
		// An earlier start was cut short before its process was started.
		if err := s.destroyTask(ctx, c.ID); err != nil {
			return err
		}
		c.unsure = false
	}
	c.end.Store(nil)
	if err := s.marks.set(c.ID, mark{Begun: begun, Step: creating}); err != nil {
		return err
	}
	pid, err := s.run(ctx, c, begun, resumed)
	if err != nil && s.takenBack(ctx, c, err) {
		return err
	}
	if err != nil {
		record := s.exitRecord(c, exit{code: exitStartFailed, at: time.Now(), reason: "StartError", message: err.Error()})
		// Until it is recorded, the mark without a task tells a restarted process
		// that it has ended, if not why.
		if kept := s.Records.UpdateContainer(context.WithoutCancel(ctx), c.ID, record); kept != nil {
			s.logger(c).WarnContext(ctx, "failed start is not recorded yet", "error", kept)
			s.keep(c, record)
		}
		c.conclude(record)
		s.hearNoMore(ctx, c)
		return err
	}
	if err := s.marks.set(c.ID, mark{Begun: begun, Step: running, PID: pid}); err != nil {
		s.logger(c).WarnContext(ctx, "mark of a running container is not kept: a restart of this process will ask its shim", "error", err)
	}
	c.publish(func(st *State) {
		st.Phase, st.PID, st.StartedAt = runtimeapi.ContainerState_CONTAINER_RUNNING, pid, begun
	})
	s.logger(c).InfoContext(ctx, "container runs", "pid", pid)
	return nil
}

// takenBack tells whether a failed start leaves the container as created, for
// a retry: a member or containerd went away, and nothing of it has run. The mark
// stays, with which a restarted process comes to the same end.
func (s *Service) takenBack(ctx context.Context, c *Container, err error) bool {
	if how, ok := s.marks.get(c.ID); !errdefs.IsUnavailable(err) || !ok || how.Step != creating {
		return false
	}
	c.unsure, c.clean = true, false // whoever went away may have done it
	s.logger(c).WarnContext(ctx, "start is taken back, nothing of it has run", "error", err)
	return true
}

// run opens the streams and runs the task. On failure nothing of either is
// left. resumed says that an earlier start was cut short.
func (s *Service) run(ctx context.Context, c *Container, begun time.Time, resumed bool) (pid int, err error) {
	var made undo.Stack
	defer func() {
		if err == nil {
			return
		}
		undone := made.Run(ctx, undoLimit)
		c.clean = undone == nil
		if undone != nil {
			s.logger(c).WarnContext(ctx, "failed start is not undone whole; the removal will try again", "error", undone)
		}
	}()
	pid, isolate, err := s.prepare(ctx, &made, c, resumed)
	if err != nil {
		return 0, err
	}
	operation.Stage(ctx, "plugins")
	if err := s.Hooks.StartContainer(ctx, c, pid); err != nil {
		return 0, fmt.Errorf("start container %s: %w", c.ID, err)
	}
	operation.Stage(ctx, "start task")
	restored := c.record.Load().GetCheckpoint() != ""
	if !restored { // else its cgroup is there once it runs
		if err := isolate(ctx); err != nil {
			return 0, err
		}
	}
	if err := s.marks.set(c.ID, mark{Begun: begun, Step: starting}); err != nil {
		return 0, err
	}
	err = telemetry.Span(ctx, "task.start", func(ctx context.Context) error {
		pid, err = s.startTask(ctx, c)
		return err
	})
	if err == nil && restored {
		err = isolate(ctx)
	}
	if err != nil {
		return 0, err
	}
	made.Release()
	return pid, nil
}

// destroyTask kills and deletes a task, in whatever state it is, if need be
// with a shim that does not answer. A process that does not end is an error
// after a while, whatever the caller's deadline.
func (s *Service) destroyTask(ctx context.Context, id string) error {
	err := s.deleteTask(ctx, id)
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil || !s.endShim(ctx, id) {
		return err
	}
	return s.deleteTask(ctx, id)
}

func (s *Service) deleteTask(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, s.Config.StopTimeout.Std())
	defer cancel()
	return engine.EndTask(ctx, s.Tasks, id)
}

func (s *Service) describe(ctx context.Context, c *Container) {
	telemetry.Pod(ctx, c.PodID, c.Streams.GetPodNamespace(), c.Streams.GetPodName(), c.Streams.GetPodUid())
	telemetry.Container(ctx, c.ID, c.Config.GetMetadata().GetName())
}
