package engine

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/ident"
)

// PrepareRootfs makes a container's writable snapshot on top of an image's
// layers. The container's record must exist, or the snapshot would be garbage.
func (e *Engine) PrepareRootfs(ctx context.Context, snapshotter, key, chainID string, labels map[string]string) ([]mount.Mount, error) {
	mounts, err := e.client.SnapshotService(snapshotter).Prepare(ctx, key, chainID, snapshots.WithLabels(labels))
	if err != nil {
		return nil, fmt.Errorf("prepare snapshot %s in %q: %w", key, snapshotter, err)
	}
	return mounts, nil
}

// RootfsMounts are the mounts of an existing snapshot.
func (e *Engine) RootfsMounts(ctx context.Context, snapshotter, key string) ([]mount.Mount, error) {
	mounts, err := e.client.SnapshotService(snapshotter).Mounts(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("mounts of snapshot %s in %q: %w", key, snapshotter, err)
	}
	return mounts, nil
}

// RemoveRootfs removes a container's snapshot; one that is not there is no
// error.
func (e *Engine) RemoveRootfs(ctx context.Context, snapshotter, key string) error {
	if err := e.client.SnapshotService(snapshotter).Remove(ctx, key); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove snapshot %s in %q: %w", key, snapshotter, err)
	}
	return nil
}

// WithImage mounts an image's layers read-only at a temporary directory while
// read runs. The view is held by a lease that ends by itself should this
// process be killed meanwhile.
func (e *Engine) WithImage(ctx context.Context, snapshotter, chainID string, read func(root string) error) (err error) {
	if chainID == "" { // an image without layers
		dir, err := os.MkdirTemp("", "trivet-image-")
		if err != nil {
			return fmt.Errorf("make empty image root: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		return read(dir)
	}
	lease, err := e.client.LeasesService().Create(ctx, leases.WithRandomID(), leases.WithExpiration(viewLease), leases.WithLabel(kindLabel, viewKind))
	if err != nil {
		return fmt.Errorf("lease a view of image layers: %w", err)
	}
	leased := leases.WithLease(ctx, lease.ID)
	key := "trivet-view-" + ident.New()
	service := e.client.SnapshotService(snapshotter)
	defer func() {
		// The client's context may be what has ended.
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		removed := service.Remove(undo, key)
		if errdefs.IsNotFound(removed) {
			removed = nil
		}
		if ended := e.client.LeasesService().Delete(undo, lease); removed == nil && !errdefs.IsNotFound(ended) {
			removed = ended
		}
		if err == nil && removed != nil {
			err = fmt.Errorf("remove view of image layers: %w", removed)
		}
	}()
	mounts, err := service.View(leased, key, chainID)
	if err != nil {
		return fmt.Errorf("view layers %s in %q: %w", chainID, snapshotter, err)
	}
	if err := mount.WithReadonlyTempMount(leased, mounts, read); err != nil {
		return fmt.Errorf("read image layers %s: %w", chainID, err)
	}
	return nil
}
