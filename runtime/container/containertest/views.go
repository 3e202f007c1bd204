package containertest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// Views is a fake imagevolume.Views: snapshotters by key. What it gives can be
// mounted and has the files of Snapshots. Calls: Views.Create, Views.Mounts,
// Views.Remove.
type Views struct {
	faults    *podtest.Faults
	snapshots *Snapshots
	mu        sync.Mutex
	all       map[string]string
	last      engine.View
}

// CreateView is part of imagevolume.Views.
func (v *Views) CreateView(ctx context.Context, view engine.View) ([]mount.Mount, error) {
	err := v.faults.Do(ctx, "Views.Create", func() error {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.all[view.Key], v.last = view.Snapshotter, view
		return nil
	})
	return v.mounts(), err
}

// RootfsMounts is part of imagevolume.Views.
func (v *Views) RootfsMounts(ctx context.Context, snapshotter, key string) ([]mount.Mount, error) {
	err := v.faults.Do(ctx, "Views.Mounts", func() error {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.all[key] != snapshotter {
			return fmt.Errorf("view %s in %q: %w", key, snapshotter, errdefs.ErrNotFound)
		}
		return nil
	})
	return v.mounts(), err
}

// RemoveRootfs is part of imagevolume.Views.
func (v *Views) RemoveRootfs(ctx context.Context, snapshotter, key string) error {
	return v.faults.Do(ctx, "Views.Remove", func() error {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.all[key] == snapshotter {
			delete(v.all, key)
		}
		return nil
	})
}

func (v *Views) mounts() []mount.Mount {
	return []mount.Mount{{Type: "bind", Source: v.snapshots.root, Options: []string{"rbind", "rw"}}}
}

// Last is the newest view.
func (v *Views) Last() engine.View {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last
}

// IDs are the keys that exist, sorted.
func (v *Views) IDs() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Sorted(maps.Keys(v.all))
}
