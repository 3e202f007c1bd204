package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/internal/undo"
	"github.com/trivet-cri/trivet/runtime/checkpoint"
	"github.com/trivet-cri/trivet/runtime/operation"
)

// CRIU tells what is missing for checkpoints; *checkpoint.CRIU does.
type CRIU interface {
	Check(ctx context.Context, handler config.Handler) error
}

// Freezer freezes and thaws containers; *engine.Engine does.
type Freezer interface {
	PauseTask(ctx context.Context, id string) error
	ResumeTask(ctx context.Context, id string) error
}

// Dumper takes what a container is made of; *engine.Engine does.
type Dumper interface {
	CheckpointTask(ctx context.Context, id, images, work string) error
	WriteRootfsDiff(ctx context.Context, snapshotter, key string, out io.Writer) error
}

// Capture is one container of a checkpoint and the directory for it, which
// does not exist.
type Capture struct {
	Container *Container
	Status    *runtimeapi.ContainerStatus // as the checkpoint tells it
	Dir       string
}

// thawLimit bounds how long a call waits for the end of a freeze.
const thawLimit = 20 * time.Second

// errStopped is the cause that ends a checkpoint of a container that is to
// stop.
var errStopped = fmt.Errorf("the container is being stopped: %w", errdefs.ErrAborted)

// Checkpoint writes an archive with the state of a running container to
// location, an absolute path; an archive that is there is replaced. The
// container is frozen meanwhile and goes on afterwards, however this ends.
// limit bounds the call beside ctx; 0 is the default. Errors: InvalidArgument,
// NotImplemented (it names what is missing), FailedPrecondition (it does not
// run), Aborted (it is being stopped).
func (s *Service) Checkpoint(ctx context.Context, one Capture, location string, limit time.Duration) error {
	c := one.Container
	s.describe(ctx, c)
	if err := checkLocation(location); err != nil {
		return err
	}
	if limit == 0 {
		limit = s.Config.CreateTimeout.Std()
	}
	return operation.Attended(ctx, s.operations, "checkpoint container "+c.ID, limit, func(ctx context.Context) (err error) {
		base := c.Handler.Options.CriuImagePath
		if base == "" {
			base = s.checkpoints.work
		}
		one.Dir = filepath.Join(base, "trivet-"+ident.New())
		partial := checkpoint.Partial(location)
		entry, err := s.checkpoints.journal.Begin(checkpoint.Entry{Remove: []string{one.Dir, partial}})
		if err != nil {
			return err
		}
		// What was written is of no use beside the archive.
		defer func() { err = errors.Join(err, s.forget(entry)) }()
		if err := s.Capture(ctx, []Capture{one}); err != nil {
			return err
		}
		operation.Stage(ctx, "archive")
		if err := checkpoint.Pack(ctx, one.Dir, location, partial); err != nil {
			return err
		}
		s.logger(c).InfoContext(ctx, "checkpoint of a container is written", "location", location)
		return nil
	})
}

// forget removes what an entry tells of, and then the entry.
func (s *Service) forget(entry checkpoint.Entry) error {
	if err := entry.Clear(); err != nil {
		return err
	}
	return s.checkpoints.journal.End(entry)
}

// checkLocation refuses what cannot become an archive.
func checkLocation(location string) error {
	if !filepath.IsAbs(location) || filepath.Clean(location) != location {
		return fmt.Errorf("location %.200q is not an absolute path: %w", location, errdefs.ErrInvalidArgument)
	}
	if info, err := os.Stat(filepath.Dir(location)); err != nil || !info.IsDir() {
		return fmt.Errorf("location %.200q: its directory is not there: %w", location, errdefs.ErrInvalidArgument)
	}
	if info, err := os.Lstat(location); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("location %.200q is there and no file: %w", location, errdefs.ErrInvalidArgument)
	}
	return nil
}

// Capture writes checkpoints of running containers into their directories, as
// one cut: all are frozen before the first is captured, and thawed when the
// last has been, or on failure. The caller removes the directories.
func (s *Service) Capture(ctx context.Context, captures []Capture) (err error) {
	ctx, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	// In one order for everybody, so that no two wait for each other.
	slices.SortFunc(captures, func(a, b Capture) int { return cmp.Compare(a.Container.ID, b.Container.ID) })
	operation.Stage(ctx, "turn")
	var ids []string
	for _, one := range captures {
		c := one.Container
		if err := s.CRIU.Check(ctx, c.Handler); err != nil {
			return err
		}
		if err := c.take(ctx); err != nil {
			return err
		}
		defer c.give()
		c.interrupt.Store(&interrupt)
		defer c.interrupt.Store(nil)
		if state := c.State(); state.Phase != runtimeapi.ContainerState_CONTAINER_RUNNING || state.Removing {
			return fmt.Errorf("container %s is in state %s and not running: %w", c.ID, state.Phase, errdefs.ErrFailedPrecondition)
		}
		ids = append(ids, c.ID)
	}
	entry, err := s.checkpoints.journal.Begin(checkpoint.Entry{Containers: ids})
	if err != nil {
		return err
	}
	if err := s.frozen(ctx, captures, entry); err != nil {
		return err
	}
	operation.Stage(ctx, "metadata")
	for _, one := range captures {
		if err := s.annotate(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

// frozen is Capture between freeze and thaw. The entry ends when all are
// thawed.
func (s *Service) frozen(ctx context.Context, captures []Capture, entry checkpoint.Entry) (err error) {
	var thaw undo.Stack
	var begun []string
	thaw.Add("freeze", func(ctx context.Context) error { return s.resume(ctx, begun) })
	defer func() {
		thawed := thaw.Run(ctx, thawLimit)
		if thawed == nil {
			err = errors.Join(err, s.checkpoints.journal.End(entry))
			return
		}
		s.Log.ErrorContext(ctx, "containers stay frozen after a checkpoint: it is tried again", "containers", entry.Containers, "error", thawed)
		s.background(func() { s.thaw(s.life, entry) })
		err = errors.Join(err, thawed)
	}()
	operation.Stage(ctx, "freeze")
	for _, one := range captures {
		c := one.Container
		begun = append(begun, c.ID)
		err := telemetry.Span(ctx, "task.freeze", func(ctx context.Context) error { return s.Freezer.PauseTask(ctx, c.ID) })
		if err != nil {
			return err
		}
	}
	for _, one := range captures {
		if err := s.dump(ctx, one); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = fmt.Errorf("checkpoint container %s: %w", one.Container.ID, cause)
			}
			return err
		}
	}
	return nil
}

// dump writes processes, file system and log of a frozen container.
func (s *Service) dump(ctx context.Context, one Capture) error {
	c := one.Container
	operation.Stage(ctx, "dump "+c.Config.GetMetadata().GetName())
	if err := os.Mkdir(one.Dir, 0o700); err != nil {
		return fmt.Errorf("checkpoint container %s: %w", c.ID, err)
	}
	work := one.Dir
	if base := c.Handler.Options.CriuWorkPath; base != "" {
		work = filepath.Join(base, "trivet-"+ident.New())
		defer func() { _ = os.RemoveAll(work) }()
	}
	err := telemetry.Span(ctx, "task.checkpoint", func(ctx context.Context) error {
		return s.Dumper.CheckpointTask(ctx, c.ID, filepath.Join(one.Dir, checkpoint.ImagesDir), work)
	})
	if err != nil {
		return checkpoint.Explain(err, filepath.Join(work, checkpoint.DumpLog))
	}
	if work != one.Dir {
		for _, name := range []string{checkpoint.DumpLog, checkpoint.StatsFile} {
			if err := checkpoint.CopyFile(filepath.Join(work, name), filepath.Join(one.Dir, name)); err != nil {
				return err
			}
		}
	}
	operation.Stage(ctx, "file system of "+c.Config.GetMetadata().GetName())
	err = telemetry.Span(ctx, "rootfs.diff", func(ctx context.Context) error { return s.writeDiff(ctx, one) })
	if err != nil {
		return err
	}
	return checkpoint.CopyFile(c.LogPath, filepath.Join(one.Dir, checkpoint.LogFile))
}

func (s *Service) writeDiff(ctx context.Context, one Capture) error {
	file, err := os.OpenFile(filepath.Join(one.Dir, checkpoint.RootfsDiff), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("checkpoint container %s: %w", one.Container.ID, err)
	}
	err = s.Dumper.WriteRootfsDiff(ctx, one.Container.snapshotter, one.Container.ID, file)
	return errors.Join(err, file.Close())
}

// annotate adds what the checkpoint says of its container.
func (s *Service) annotate(ctx context.Context, one Capture) error {
	c := one.Container
	spec, err := s.Specs.ContainerSpec(ctx, c.ID)
	if err != nil {
		return err
	}
	return checkpoint.Describe(one.Dir, checkpoint.Facts{
		Runtime: c.Handler.Type, Spec: spec, Status: one.Status, PID: c.State().PID, TakenAt: time.Now(),
	})
}

// interrupted ends a checkpoint under way: what is frozen cannot be stopped.
func (c *Container) interrupted() {
	if cancel := c.interrupt.Load(); cancel != nil {
		(*cancel)(errStopped)
	}
}
