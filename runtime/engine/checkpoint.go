package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/trivet-cri/trivet/internal/config"
)

// Restore is what a task is restored from.
type Restore struct {
	Images  string // directory of CRIU's images
	Work    string // directory for CRIU's log
	Handler config.Handler
}

// PauseTask freezes a running container.
func (e *Engine) PauseTask(ctx context.Context, id string) error {
	if _, err := e.client.TaskService().Pause(ctx, &tasks.PauseTaskRequest{ContainerID: id}); err != nil {
		return fmt.Errorf("freeze task %s: %w", id, errgrpc.ToNative(err))
	}
	return nil
}

// ResumeTask thaws a container. One that is not frozen, or has no task, is no
// error.
func (e *Engine) ResumeTask(ctx context.Context, id string) error {
	_, err := e.client.TaskService().Resume(ctx, &tasks.ResumeTaskRequest{ContainerID: id})
	err = errgrpc.ToNative(err)
	if err == nil || errdefs.IsNotFound(err) {
		return nil
	}
	// The shim gives this answer no kind.
	response, asked := e.client.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: id})
	if errdefs.IsNotFound(errgrpc.ToNative(asked)) {
		return nil
	}
	status := response.GetProcess().GetStatus()
	if asked == nil && status != tasktypes.Status_PAUSED && status != tasktypes.Status_PAUSING {
		return nil
	}
	return fmt.Errorf("thaw task %s: %w", id, err)
}

// CheckpointTask has CRIU write the images of a container's processes into
// images and its log into work; both are made if they are not there. The
// container goes on, or stays frozen if it is.
func (e *Engine) CheckpointTask(ctx context.Context, id, images, work string) error {
	options, err := anypb.New(&runcoptions.CheckpointOptions{ImagePath: images, WorkPath: work})
	if err != nil {
		return fmt.Errorf("checkpoint task %s: %w", id, err)
	}
	options.TypeUrl = "containerd.runc.v1.CheckpointOptions" // as the library writes it
	_, err = e.client.TaskService().Checkpoint(ctx, &tasks.CheckpointTaskRequest{ContainerID: id, Options: options})
	if err != nil {
		return fmt.Errorf("checkpoint task %s: %w", id, errgrpc.ToNative(err))
	}
	return nil
}

// RestoreTask is CreateTask for a container whose process StartTask continues
// from a checkpoint.
func (e *Engine) RestoreTask(ctx context.Context, id string, rootfs []mount.Mount, io TaskIO, from Restore) error {
	options := runcOptions(from.Handler.Options)
	options.CriuImagePath, options.CriuWorkPath = from.Images, from.Work
	packed, err := anypb.New(options)
	if err != nil {
		return fmt.Errorf("restore task %s: %w", id, err)
	}
	packed.TypeUrl = runcOptionsURL
	request := createRequest(id, rootfs, io, from.Handler.Path)
	request.Options = packed
	if _, err := e.client.TaskService().Create(ctx, request); err != nil {
		return fmt.Errorf("restore task %s: %w", id, errgrpc.ToNative(err))
	}
	return nil
}

// WriteRootfsDiff writes what a container has changed in its file system, as
// the tar archive of an image's layer, to out.
func (e *Engine) WriteRootfsDiff(ctx context.Context, snapshotter, key string, out io.Writer) (err error) {
	lifetime := viewLease
	if deadline, ok := ctx.Deadline(); ok {
		lifetime += time.Until(deadline)
	}
	lease, err := e.client.LeasesService().Create(ctx, leases.WithRandomID(), leases.WithExpiration(lifetime), leases.WithLabel(kindLabel, viewKind))
	if err != nil {
		return fmt.Errorf("changes of snapshot %s: lease: %w", key, err)
	}
	defer func() {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		// The content goes with its lease.
		if ended := e.client.LeasesService().Delete(undo, lease, leases.SynchronousDelete); err == nil && !errdefs.IsNotFound(ended) {
			err = ended
		}
	}()
	leased := leases.WithLease(ctx, lease.ID)
	layer, err := rootfs.CreateDiff(leased, key, e.client.SnapshotService(snapshotter), e.client.DiffService(),
		diff.WithMediaType(ocispec.MediaTypeImageLayer), diff.WithReference("trivet-checkpoint-"+key))
	if err != nil {
		return fmt.Errorf("changes of snapshot %s in %q: %w", key, snapshotter, errgrpc.ToNative(err))
	}
	reader, err := e.client.ContentStore().ReaderAt(leased, layer)
	if err != nil {
		return fmt.Errorf("changes of snapshot %s: %w", key, err)
	}
	defer func() { _ = reader.Close() }() // only read from
	if _, err := io.Copy(out, content.NewReader(reader)); err != nil {
		return fmt.Errorf("changes of snapshot %s: %w", key, err)
	}
	return nil
}

// ApplyRootfsDiff makes such changes in the file system that mounts make, and
// removes what is in deleted, paths from its root. Doing it twice is the same
// as doing it once. Links in the file system lead nowhere out of it.
func (e *Engine) ApplyRootfsDiff(ctx context.Context, mounts []mount.Mount, changes io.Reader, deleted []string) error {
	err := mount.WithTempMount(ctx, mounts, func(dir string) error {
		if changes != nil {
			if _, err := archive.Apply(ctx, dir, changes); err != nil {
				return err
			}
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer func() { _ = root.Close() }()
		for _, path := range deleted {
			local := filepath.Clean(strings.TrimLeft(path, "/"))
			if local == "." || !filepath.IsLocal(local) {
				return fmt.Errorf("deleted file %.200q: %w", path, errdefs.ErrInvalidArgument)
			}
			if err := root.RemoveAll(local); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("apply changes of a checkpoint's file system: %w", err)
	}
	return nil
}
