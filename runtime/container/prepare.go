package container

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/internal/undo"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/operation"
)

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
