package container

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/durationpb"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/internal/undo"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
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

// prepare does all of a start but that the process runs. isolate is for when
// its cgroup is there.
func (s *Service) prepare(ctx context.Context, made *undo.Stack, c *Container, resumed bool) (pid int, isolate func(context.Context) error, err error) {
	operation.Stage(ctx, "streams")
	made.Add("streams", func(ctx context.Context) error { return s.closeIO(ctx, c, s.Config.DrainTimeout.Std()) })
	io, err := s.openIO(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	if err := s.ImageVolumes.Restore(ctx, c.owner(c.mountLabel), c.Config.GetMounts()); err != nil {
		return 0, nil, err
	}
	rootfs, err := s.rootfsOf(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	if isolate, err = s.tune(ctx, made, c); err != nil {
		return 0, nil, err
	}
	operation.Stage(ctx, "create task")
	made.Add("task", func(ctx context.Context) error { return s.destroyTask(ctx, c.ID) })
	err = telemetry.Span(ctx, "task.create", func(ctx context.Context) (err error) {
		pid, err = s.insistOnTask(ctx, c, rootfs, io, resumed)
		return err
	})
	return pid, isolate, err
}

// insistOnTask makes the task. containerd may still be making that of an earlier
// start, whose caller it has lost: it is not there yet to be destroyed, but its
// directory is.
func (s *Service) insistOnTask(ctx context.Context, c *Container, rootfs []mount.Mount, io engine.TaskIO, resumed bool) (pid int, err error) {
	deadline := time.Now().Add(s.Config.StopTimeout.Std())
	for {
		pid, err = s.createTask(ctx, c, rootfs, io)
		inTheWay := errdefs.IsAlreadyExists(err) || err != nil && strings.Contains(err.Error(), "file exists")
		if !resumed || !inTheWay || time.Now().After(deadline) {
			return pid, err
		}
		select {
		case <-ctx.Done():
			return pid, err
		case <-time.After(startLook):
		}
		if err := s.destroyTask(ctx, c.ID); err != nil {
			return pid, err
		}
	}
}

func (s *Service) openIO(ctx context.Context, c *Container) (engine.TaskIO, error) {
	response, err := s.Streams.OpenIO(ctx, &streamerv1.OpenIORequest{
		Container: c.Streams, LogPath: c.LogPath,
		Stdin: c.Config.GetStdin(), StdinOnce: c.Config.GetStdinOnce(), Tty: c.Config.GetTty(),
		MaxLogLineSize: int32(s.Config.MaxContainerLogLineSize),
	})
	if err != nil {
		return engine.TaskIO{}, fmt.Errorf("open streams of container %s: %w", c.ID, err)
	}
	return engine.TaskIO{
		Stdin: response.GetStdin(), Stdout: response.GetStdout(), Stderr: response.GetStderr(), Terminal: c.Config.GetTty(),
	}, nil
}

// closeIO waits at most drain for the rest of the output, and ends the streams.
func (s *Service) closeIO(ctx context.Context, c *Container, drain time.Duration) error {
	response, err := s.Streams.CloseIO(ctx, &streamerv1.CloseIORequest{ContainerId: c.ID, DrainTimeout: durationpb.New(drain)})
	if err != nil {
		return fmt.Errorf("close streams of container %s: %w", c.ID, err)
	}
	if !response.GetDrained() && drain > 0 {
		s.logger(c).WarnContext(ctx, "a process that the container left behind holds its output open: what it writes is lost", "waited", drain)
	}
	return nil
}

// rootfsOf are the mounts of the container's snapshot, labelled for SELinux.
func (s *Service) rootfsOf(ctx context.Context, c *Container) ([]mount.Mount, error) {
	mounts := c.rootfs
	if mounts == nil {
		var err error
		mounts, err = s.Snapshots.RootfsMounts(ctx, c.snapshotter, c.ID)
		if errdefs.IsNotFound(err) { // the creation was cut short before it was made
			mounts, err = s.rebuildRootfs(ctx, c)
		}
		if err != nil {
			return nil, err
		}
	}
	if c.mountLabel == "" {
		return mounts, nil
	}
	labelled := make([]mount.Mount, len(mounts))
	for i, m := range mounts {
		m.Options = append(append([]string(nil), m.Options...), fmt.Sprintf("context=%q", c.mountLabel))
		labelled[i] = m
	}
	return labelled, nil
}

// rebuildRootfs makes the snapshot of a container whose creation was cut short.
func (s *Service) rebuildRootfs(ctx context.Context, c *Container) ([]mount.Mount, error) {
	img, err := s.Images.Resolve(ctx, c.ImageID)
	if err != nil {
		return nil, err
	}
	return s.prepareRootfs(ctx, c, img)
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
