package engine

import (
	"context"
	"fmt"
	"path/filepath"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"
)

// ImageUnpacked tells whether the layers with this chain id are in the
// snapshotter. An image without layers has no chain id and needs none.
func (e *Engine) ImageUnpacked(ctx context.Context, chainID, snapshotter string) (bool, error) {
	if chainID == "" {
		return true, nil
	}
	_, err := e.Client().SnapshotService(snapshotter).Stat(ctx, chainID)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s in snapshotter %q: %w", chainID, snapshotter, err)
	}
	return true, nil
}

// UnpackImage unpacks an image whose layers are in containerd. It does
// nothing for layers that are unpacked, and may be called concurrently.
func (e *Engine) UnpackImage(ctx context.Context, name ImageName, snapshotter string) error {
	image := containerd.NewImage(e.Client(), images.Image{Name: name.Name, Target: name.Target})
	if err := image.Unpack(ctx, snapshotter); err != nil {
		return fmt.Errorf("unpack %q in snapshotter %q: %w", name.Name, snapshotter, err)
	}
	return nil
}

// ListSnapshots returns every snapshot of a snapshotter.
func (e *Engine) ListSnapshots(ctx context.Context, snapshotter string) ([]snapshots.Info, error) {
	var all []snapshots.Info
	err := e.Client().SnapshotService(snapshotter).Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		all = append(all, info)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list snapshots of %q: %w", snapshotter, err)
	}
	return all, nil
}

// SnapshotUsage measures one snapshot without its parents. For an active one
// the snapshotter may have to read the whole directory tree.
func (e *Engine) SnapshotUsage(ctx context.Context, snapshotter, key string) (snapshots.Usage, error) {
	usage, err := e.Client().SnapshotService(snapshotter).Usage(ctx, key)
	if err != nil {
		return snapshots.Usage{}, fmt.Errorf("measure snapshot %q of %q: %w", key, snapshotter, err)
	}
	return usage, nil
}

// SnapshotterRoot is the directory on whose file system a snapshotter keeps
// its data.
func (e *Engine) SnapshotterRoot(ctx context.Context, snapshotter string) (string, error) {
	id := plugins.SnapshotPlugin.String() + "." + snapshotter
	response, err := e.Client().IntrospectionService().Plugins(ctx,
		"type=="+plugins.SnapshotPlugin.String()+",id=="+snapshotter, "type=="+plugins.ContentPlugin.String())
	if err != nil {
		return "", fmt.Errorf("find the directory of snapshotter %q: %w", snapshotter, err)
	}
	fallback := ""
	for _, plugin := range response.GetPlugins() {
		root := plugin.GetExports()["root"]
		switch {
		case root == "":
		case plugin.GetType() == plugins.SnapshotPlugin.String():
			return root, nil
		default:
			// Most plugins have a directory beside that of the content store.
			fallback = filepath.Join(filepath.Dir(root), id)
		}
	}
	if fallback == "" {
		return "", fmt.Errorf("find the directory of snapshotter %q: containerd does not tell: %w", snapshotter, errdefs.ErrNotFound)
	}
	return fallback, nil
}
