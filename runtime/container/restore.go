package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/internal/undo"
	"github.com/trivet-cri/trivet/runtime/checkpoint"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/operation"
	"github.com/trivet-cri/trivet/runtime/pod"
)

// Restorer continues containers from checkpoints; *engine.Engine does.
type Restorer interface {
	RestoreTask(ctx context.Context, id string, rootfs []mount.Mount, io engine.TaskIO, from engine.Restore) error
	ApplyRootfsDiff(ctx context.Context, mounts []mount.Mount, changes io.Reader, deleted []string) error
}

// Puller brings images that are not here; *image.Service does.
type Puller interface {
	Pull(ctx context.Context, ref string, auth *runtimeapi.AuthConfig, pod *runtimeapi.PodSandboxConfig, snapshotter string) (image.Image, error)
}

// origin is the checkpoint that a container is made from. It is unpacked in
// the directory of an id that is nobody's, until adopt.
type origin struct {
	service *Service
	id      string
	release func() // lets the sweep have it
	ref     string // as the record keeps it
	strict  bool   // the request must describe the process that was checkpointed
	*checkpoint.Metadata
}

// source finds the image of a container that is to be created. If the request
// is for a restore, because it says from, or because its image is a
// checkpoint, that is unpacked, and the image is the one that the checkpoint's
// container was made of.
func (s *Service) source(ctx context.Context, p *pod.Pod, cfg *runtimeapi.ContainerConfig, from string) (image.Image, *origin, error) {
	ref := cfg.GetImage().GetImage()
	if from == "" && filepath.IsAbs(ref) {
		return s.restored(ctx, p, cfg, ref, func(ctx context.Context, dir string) error { return unpack(ctx, ref, dir) })
	}
	img, err := s.Images.Resolve(ctx, ref)
	if err != nil {
		return image.Image{}, nil, err
	}
	switch {
	case from != "":
		base, o, err := s.restored(ctx, p, cfg, from, func(ctx context.Context, dir string) error { return unpack(ctx, from, dir) })
		if err == nil && base.ID != img.ID {
			err = errors.Join(o.drop(), fmt.Errorf("config.image %q is not the image of the checkpoint, %s: %w", ref, base.ID, errdefs.ErrInvalidArgument))
		}
		if err != nil {
			return image.Image{}, nil, err
		}
		o.strict = true
		return base, o, nil
	case checkpoint.IsImage(img.Annotations):
		return s.restored(ctx, p, cfg, ref, func(ctx context.Context, dir string) error {
			return s.Snapshots.WithImage(ctx, s.snapshotterOf(p), img.ChainID, func(root string) error { return unpack(ctx, root, dir) })
		})
	}
	return img, nil, nil
}

func unpack(ctx context.Context, path, dir string) error {
	source, err := checkpoint.Open(path)
	if err != nil {
		return err
	}
	return checkpoint.Unpack(ctx, source, dir)
}

// restored unpacks a checkpoint and finds its image.
func (s *Service) restored(ctx context.Context, p *pod.Pod, cfg *runtimeapi.ContainerConfig, ref string, unpack func(ctx context.Context, dir string) error) (_ image.Image, _ *origin, err error) {
	if err := s.CRIU.Check(ctx, p.Handler); err != nil {
		return image.Image{}, nil, err
	}
	operation.Stage(ctx, "unpack checkpoint")
	o := &origin{service: s, id: ident.New(), ref: ref}
	o.release = s.containers.Begin(o.id, nil)
	defer func() {
		if err != nil {
			err = errors.Join(err, o.drop())
		}
	}()
	err = telemetry.Span(ctx, "checkpoint.unpack", func(ctx context.Context) error { return unpack(ctx, s.checkpoints.of(o.id)) })
	if err != nil {
		return image.Image{}, nil, err
	}
	if o.Metadata, err = checkpoint.ReadMetadata(s.checkpoints.of(o.id)); err != nil {
		return image.Image{}, nil, err
	}
	operation.Stage(ctx, "image of the checkpoint")
	img, err := s.baseImage(ctx, p, o.Metadata)
	if err != nil {
		return image.Image{}, nil, err
	}
	if len(cfg.GetCommand())+len(cfg.GetArgs()) == 0 {
		// The process is in the checkpoint: the image need not name one.
		img.Config.Config.Entrypoint, img.Config.Config.Cmd = o.Spec.Process.Args, nil
	}
	return img, o, nil
}

// baseImage is the image that the checkpoint's container was made of. It is
// pulled if it is not here.
func (s *Service) baseImage(ctx context.Context, p *pod.Pod, m *checkpoint.Metadata) (image.Image, error) {
	ref, name := m.Config.RootfsImageRef, m.Config.RootfsImageName
	if name == "" {
		name = m.Config.RootfsImage
	}
	if ref == "" {
		ref = name
	}
	img, err := s.Images.Resolve(ctx, ref)
	if err == nil || !errdefs.IsNotFound(err) {
		return img, err
	}
	pulled := ref
	if !strings.Contains(ref, "@") { // an id, by which no registry knows it
		pulled = name
	}
	img, err = s.Puller.Pull(ctx, pulled, nil, p.Config, s.snapshotterOf(p))
	if err != nil {
		return image.Image{}, fmt.Errorf("image of the checkpoint: %w", err)
	}
	if pulled != ref {
		if img, err = s.Images.Resolve(ctx, ref); err != nil {
			return image.Image{}, fmt.Errorf("%q is not the image that the checkpoint was made with any more: %w", name, err)
		}
	}
	return img, nil
}

func (s *Service) snapshotterOf(p *pod.Pod) string {
	if p.Handler.Snapshotter != "" {
		return p.Handler.Snapshotter
	}
	return s.Snapshotter
}

// drop removes the checkpoint unless a container has taken it; also of nil.
func (o *origin) drop() error {
	if o == nil {
		return nil
	}
	defer o.release()
	return o.service.checkpoints.remove(o.id)
}

// end is drop at the end of a function with the result err.
func (o *origin) end(err *error) { *err = errors.Join(*err, o.drop()) }

// adopt makes the checkpoint that of a container which is being created in p;
// made gets what undoes it. Without a checkpoint it does nothing.
func (o *origin) adopt(c *Container, p *pod.Pod, made *undo.Stack) error {
	if o == nil {
		return nil
	}
	made.Add("checkpoint", func(context.Context) error { return o.service.checkpoints.remove(c.ID) })
	c.record.Load().Checkpoint = o.ref
	hostname := p.Config.GetHostname()
	if hostname == "" {
		hostname = o.service.Host.Hostname
	}
	if err := checkpoint.SetHostname(o.service.checkpoints.of(o.id), hostname); err != nil {
		return err
	}
	if err := os.Rename(o.service.checkpoints.of(o.id), o.service.checkpoints.of(c.ID)); err != nil {
		return fmt.Errorf("keep checkpoint of container %s: %w", c.ID, err)
	}
	return nil
}

// createTask creates the container's task, one that continues a checkpoint if
// the container is made from one.
func (s *Service) createTask(ctx context.Context, c *Container, rootfs []mount.Mount, io engine.TaskIO) (pid int, err error) {
	if c.record.Load().GetCheckpoint() == "" {
		return s.Tasks.CreateTask(ctx, c.ID, rootfs, io, c.Handler.Path)
	}
	if err := s.CRIU.Check(ctx, c.Handler); err != nil {
		return 0, err
	}
	dir := s.checkpoints.of(c.ID)
	if err := telemetry.Span(ctx, "rootfs.apply", func(ctx context.Context) error { return s.applyDiff(ctx, dir, rootfs) }); err != nil {
		return 0, err
	}
	// Its process is there only once it is started.
	return 0, s.Restorer.RestoreTask(ctx, c.ID, rootfs, io, engine.Restore{
		Images: filepath.Join(dir, checkpoint.ImagesDir), Work: dir, Handler: c.Handler,
	})
}

func (s *Service) applyDiff(ctx context.Context, dir string, rootfs []mount.Mount) error {
	deleted, err := checkpoint.ReadDeleted(dir)
	if err != nil {
		return err
	}
	file, err := os.Open(filepath.Join(dir, checkpoint.RootfsDiff))
	if errors.Is(err, fs.ErrNotExist) {
		if len(deleted) == 0 {
			return nil
		}
		return s.Restorer.ApplyRootfsDiff(ctx, rootfs, nil, deleted)
	}
	if err != nil {
		return fmt.Errorf("read checkpoint: %w", err)
	}
	defer func() { _ = file.Close() }() // only read from
	return s.Restorer.ApplyRootfsDiff(ctx, rootfs, file, deleted)
}

// startTask runs the container's process. CRIU's words are added to what the
// OCI runtime says of a restore that failed.
func (s *Service) startTask(ctx context.Context, c *Container) (pid int, err error) {
	pid, err = s.Tasks.StartTask(ctx, c.ID)
	if c.record.Load().GetCheckpoint() == "" {
		return pid, err
	}
	if err == nil {
		// Nothing reads it any more. If it cannot be removed, the container's
		// removal tries again.
		if removed := s.checkpoints.remove(c.ID); removed != nil {
			s.logger(c).WarnContext(ctx, "checkpoint of a restored container is not removed yet", "error", removed)
		}
		return pid, nil
	}
	return pid, checkpoint.Explain(err, filepath.Join(s.checkpoints.of(c.ID), checkpoint.RestoreLog))
}
