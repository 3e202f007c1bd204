package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
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

// fit checks that the process of the checkpoint can live in what spec
// describes, and makes spec's process the checkpointed one: that is what
// commands run in the container are like. Without a checkpoint it does nothing.
func (o *origin) fit(spec *specs.Spec) error {
	if o == nil {
		return nil
	}
	was, is := &o.Spec, spec
	if was.Process.Terminal != is.Process.Terminal {
		return mismatch("config.tty is %t, the checkpoint's is %t", is.Process.Terminal, was.Process.Terminal)
	}
	if err := fitMounts(was, is); err != nil {
		return err
	}
	if err := fitNamespaces(was, is); err != nil {
		return err
	}
	if o.strict {
		return sameProcess(was.Process, is.Process)
	}
	is.Process.Args, is.Process.Env, is.Process.Cwd, is.Process.User = was.Process.Args, was.Process.Env, was.Process.Cwd, was.Process.User
	return nil
}

func mismatch(format string, args ...any) error {
	return fmt.Errorf("the checkpoint does not fit: "+format+": %w", append(args, errdefs.ErrInvalidArgument)...)
}

// fitMounts: CRIU puts each bind mount that was there back to its place.
func fitMounts(was, is *specs.Spec) error {
	there := make(map[string]bool)
	for _, m := range is.Mounts {
		there[path.Clean(m.Destination)] = true
	}
	for _, m := range was.Mounts {
		bound := m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
		if bound && !there[path.Clean(m.Destination)] {
			return mismatch("nothing is mounted at %.200q, as it was", m.Destination)
		}
	}
	return nil
}

// fitNamespaces: a process cannot be put into namespaces of another kind.
func fitNamespaces(was, is *specs.Spec) error {
	for _, kind := range []specs.LinuxNamespaceType{specs.NetworkNamespace, specs.PIDNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.UserNamespace} {
		if before, now := namespaceOf(was, kind), namespaceOf(is, kind); before != now {
			return mismatch("its %s namespace was %s and is %s", kind, before, now)
		}
	}
	return nil
}

// namespaceOf tells whose a container's namespace is.
func namespaceOf(s *specs.Spec, kind specs.LinuxNamespaceType) string {
	for _, ns := range s.Linux.Namespaces {
		if ns.Type != kind {
			continue
		}
		if ns.Path != "" {
			return "the pod's"
		}
		return "its own"
	}
	return "the host's"
}

// sameProcess: what the request says of the process must be so.
func sameProcess(was, is *specs.Process) error {
	switch {
	case !slices.Equal(was.Args, is.Args):
		return mismatch("command and args are %.200q, and were %.200q", is.Args, was.Args)
	case was.Cwd != is.Cwd:
		return mismatch("working_dir is %.200q, and was %.200q", is.Cwd, was.Cwd)
	case was.User.UID != is.User.UID || was.User.GID != is.User.GID:
		return mismatch("the user is %d:%d, and was %d:%d", is.User.UID, is.User.GID, was.User.UID, was.User.GID)
	}
	if !slices.Equal(environment(was), environment(is)) {
		// The values may be secrets.
		return mismatch("envs are not those of the checkpoint")
	}
	return nil
}

// environment is a process's, sorted, without the pod's name, which is another
// one after a restore.
func environment(p *specs.Process) []string {
	env := slices.DeleteFunc(slices.Clone(p.Env), func(one string) bool { return strings.HasPrefix(one, "HOSTNAME=") })
	slices.Sort(env)
	return env
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
	return 0, s.Restorer.RestoreTask(ctx, c.ID, rootfs, io, engine.Restore{Images: filepath.Join(dir, checkpoint.ImagesDir), Handler: c.Handler})
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
	logs := []string{filepath.Join(s.checkpoints.of(c.ID), checkpoint.ImagesDir, checkpoint.RestoreLog)}
	if work := c.Handler.Options.CriuWorkPath; work != "" {
		logs = append(logs, filepath.Join(work, checkpoint.RestoreLog))
	}
	if why := checkpoint.Reason(logs...); why != "" {
		err = fmt.Errorf("CRIU: %s: %w", why, err)
	}
	return pid, err
}
