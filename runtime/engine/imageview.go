package engine

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// View is a snapshot that shows the files of an image.
type View struct {
	Snapshotter string
	Key         string
	ChainID     string            // of the image; empty for an image without layers
	Labels      map[string]string // for the snapshotter
	Writable    bool              // on top of the layers, so that it has a file system of its own
}

// expireLabel is until when containerd's garbage collector keeps what nothing
// refers to.
const expireLabel = "containerd.io/gc.expire"

// CreateView makes a view and returns how to mount it. After viewLease it is
// garbage unless a container's record names it. An image whose layers are not
// unpacked is errdefs.ErrNotFound.
func (e *Engine) CreateView(ctx context.Context, view View) ([]mount.Mount, error) {
	labels := maps.Clone(view.Labels)
	if labels == nil {
		labels = make(map[string]string, 1)
	}
	labels[expireLabel] = time.Now().Add(viewLease).UTC().Format(time.RFC3339)
	service := e.client.SnapshotService(view.Snapshotter)
	create := service.View
	if view.Writable {
		create = service.Prepare
	}
	mounts, err := create(ctx, view.Key, view.ChainID, snapshots.WithLabels(labels))
	if errdefs.IsAlreadyExists(err) {
		// An earlier call's answer was lost.
		mounts, err = service.Mounts(ctx, view.Key)
	}
	if err != nil {
		return nil, fmt.Errorf("view layers %q in %q: %w", view.ChainID, view.Snapshotter, err)
	}
	return mounts, nil
}

// heldLabels make containerd keep views for as long as the record with these
// labels exists.
func heldLabels(labels map[string]string, snapshotter string, views []string) map[string]string {
	if len(views) == 0 {
		return labels
	}
	labels = maps.Clone(labels)
	if labels == nil {
		labels = make(map[string]string, len(views))
	}
	for i, view := range views {
		labels[fmt.Sprintf("containerd.io/gc.ref.snapshot.%s/%d", snapshotter, i)] = view
	}
	return labels
}
