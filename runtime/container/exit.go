package container

import (
	"context"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	recordv1 "github.com/trivet-cri/trivet/proto/record/v1"
	"github.com/trivet-cri/trivet/runtime/engine"
)

// exit is how a container ended.
type exit struct {
	pid     int // of whom it is told, 0 if that is not known
	code    int32
	at      time.Time
	reason  string // empty to have it found
	message string
}

// retryPause is the pause between attempts to work off an exit.
const retryPause = 500 * time.Millisecond

// Watch follows the ends of containers until ctx ends. After each break of
// the stream of events every running container is looked at.
func (s *Service) Watch(ctx context.Context) error {
	for {
		err := s.Tasks.WatchTasks(ctx,
			func() { s.background(func() { s.Verify(ctx) }) },
			func(event engine.TaskEvent) { s.seen(ctx, event) })
		if ctx.Err() != nil {
			return nil
		}
		s.Log.WarnContext(ctx, "containerd's events are interrupted", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryPause):
		}
	}
}

// seen takes an event; it never waits.
func (s *Service) seen(ctx context.Context, event engine.TaskEvent) {
	c, ok := s.All()[event.ContainerID]
	switch {
	case ok && event.OOM:
		c.oom.Store(true)
	case ok:
		s.endSoon(c, exit{pid: event.PID, code: int32(event.ExitCode), at: event.ExitedAt})
	case !event.OOM:
		s.background(func() { s.Pods.PauseExited(ctx, event.ContainerID) })
	}
}

// endSoon is ended for callers who do not wait.
func (s *Service) endSoon(c *Container, how exit) {
	s.background(func() { s.ended(s.life, c, how) })
}

// ended works off the end of a container: now, or as soon as containerd and
// streamer are there again. What was told first counts: an exit code that is
// known is kept, whatever is guessed while it cannot be recorded.
func (s *Service) ended(ctx context.Context, c *Container, how exit) {
	for {
		err := s.workOff(ctx, c, how)
		if err == nil {
			s.tellEnd(ctx, c)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		s.logger(c).WarnContext(ctx, "the container's exit is not worked off yet", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryPause):
		}
	}
}

func (s *Service) workOff(ctx context.Context, c *Container, how exit) error {
	ctx, cancel := context.WithTimeout(ctx, s.Config.CreateTimeout.Std())
	defer cancel()
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.give()
	if c.State().Phase != runtimeapi.ContainerState_CONTAINER_RUNNING {
		return nil // another event, or the start itself, has told
	}
	if pid := c.State().PID; how.pid != 0 && pid != 0 && how.pid != pid {
		return nil // of an earlier task, whose start was cut short
	}
	c.end.CompareAndSwap(nil, &how)
	how = *c.end.Load()
	if how.reason == "" {
		how.reason, how.message = s.explain(c, how.code)
	}
	if err := s.closeIO(ctx, c, s.Config.DrainTimeout.Std()); err != nil {
		return err
	}
	if err := s.finish(ctx, c, how); err != nil {
		return err
	}
	s.logger(c).InfoContext(ctx, "container has exited", "exit_code", how.code, "reason", how.reason)
	// A shim that hangs must not keep the container's turn from its removal.
	limited, stop := context.WithTimeout(ctx, s.Config.StopTimeout.Std())
	defer stop()
	err := s.Tasks.DeleteTask(limited, c.ID)
	// Not before: no pod may have a smaller quota than its containers.
	s.untune(ctx, c.ID)
	if err != nil {
		// The removal of the container tries again.
		s.logger(c).WarnContext(ctx, "task of an exited container is not deleted", "error", err)
		return nil
	}
	c.clean = true
	return nil
}

// finish records how a container has ended, and publishes it. The record
// comes first: what a client has once seen must hold after a restart.
func (s *Service) finish(ctx context.Context, c *Container, how exit) error {
	record := s.exitRecord(c, how)
	err := s.Records.UpdateContainer(ctx, c.ID, record)
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	c.conclude(record)
	s.hearNoMore(ctx, c)
	return nil
}

// exitRecord is the container's record with its end.
func (s *Service) exitRecord(c *Container, how exit) *recordv1.Container {
	state := c.State()
	started := state.StartedAt
	if started.IsZero() {
		how, _ := s.marks.get(c.ID)
		started = how.Begun
	}
	if how.at.Before(started) {
		how.at = started // another clock, or none at all
	}
	record := proto.Clone(c.record.Load()).(*recordv1.Container)
	record.StartedAt, record.FinishedAt = timestamppb.New(started), timestamppb.New(how.at)
	record.ExitCode, record.Reason, record.Message = how.code, how.reason, how.message
	return record
}

// conclude publishes the end that record tells; for who has the turn.
func (c *Container) conclude(record *recordv1.Container) {
	c.record.Store(record)
	c.publish(func(st *State) { st.restore(record) })
}

// keep writes the record of an end that is published already, as soon as
// containerd takes it.
func (s *Service) keep(c *Container, record *recordv1.Container) {
	s.background(func() {
		for {
			err := s.Records.UpdateContainer(s.life, c.ID, record)
			if err == nil || errdefs.IsNotFound(err) || s.life.Err() != nil {
				return
			}
			s.logger(c).WarnContext(s.life, "the container's end is not recorded yet", "error", err)
			select {
			case <-s.life.Done():
				return
			case <-time.After(retryPause):
			}
		}
	})
}

// restore is the state that a record with an exit tells.
func (st *State) restore(record *recordv1.Container) {
	st.Phase, st.PID = runtimeapi.ContainerState_CONTAINER_EXITED, 0
	st.StartedAt, st.FinishedAt = record.GetStartedAt().AsTime(), record.GetFinishedAt().AsTime()
	st.ExitCode, st.Reason, st.Message = record.GetExitCode(), record.GetReason(), record.GetMessage()
}

// reason is the word for an exit that Kubernetes' users know.
func (s *Service) reason(c *Container, code int32) string {
	switch {
	case code == 0:
		return "Completed"
	case c.oom.Load() || oomKilled(c.cgroupsPath):
		return "OOMKilled"
	}
	return "Error"
}
