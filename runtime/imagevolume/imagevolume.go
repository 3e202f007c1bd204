// Package imagevolume mounts images for containers that have them as volumes
// (KEP-4639).
//
//	image ─▶ unpacked ─▶ view (a snapshot) ─▶ DIR/<container>/<snapshotter>/<n> ─▶ bind mount
//
// Every container has mounts of its own, so they come and go with it and
// nothing is counted; the pages of the layers' files are the kernel's, and
// shared by all of them. Mounts of one image in one container share a view.
//
// Invariant: a directory is made before the view that it is named for, and
// removed after it. So whatever is killed, the directories tell what there is
// to remove. containerd keeps a view for some minutes by itself, and then for
// as long as the container's record names it: an image that is removed
// meanwhile stays readable. A reboot takes the directories away with all
// mounts; what is left in containerd goes with the container's record.
package imagevolume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/mountpoint"
)

// Views are snapshots with the files of images; *engine.Engine makes them.
type Views interface {
	CreateView(ctx context.Context, view engine.View) ([]mount.Mount, error)
	RootfsMounts(ctx context.Context, snapshotter, key string) ([]mount.Mount, error)
	RemoveRootfs(ctx context.Context, snapshotter, key string) error
}

// Images finds and unpacks; *image.Service does.
type Images interface {
	Resolve(ctx context.Context, ref string) (image.Image, error)
	EnsureUnpacked(ctx context.Context, image image.Image, snapshotter string) error
}

// Store has the mounts below one directory. Its methods may be called
// concurrently, but for one container only one at a time.
type Store struct {
	dir    string
	views  Views
	images Images
}

// New keeps mounts below dir, which is made if it is missing.
func New(dir string, views Views, images Images) (*Store, error) {
	// Others than root must get through, if root is nobody in their namespace.
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("make directory of image volumes: %w", err)
	}
	// Sub paths are compared with where they were looked for.
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("find directory of image volumes: %w", err)
	}
	return &Store{dir: dir, views: views, images: images}, nil
}

// List returns the ids of containers that have directories.
func (s *Store) List() ([]string, error) {
	ids, err := ident.InDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list image volumes: %w", err)
	}
	return ids, nil
}

// Remove unmounts and removes what a container has, as far as it is there. A
// mount that is in use is detached: what uses it keeps it until it ends.
func (s *Store) Remove(ctx context.Context, id string) error {
	if err := ident.Check("container id", id); err != nil {
		return err
	}
	places, err := filepath.Glob(filepath.Join(s.dir, id, "*", "*"))
	if err != nil {
		return fmt.Errorf("list image volumes of container %s: %w", id, err)
	}
	var failed []error
	for _, place := range places {
		failed = append(failed, s.removeOne(ctx, id, place))
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("remove image volumes of container %s: %w", id, err)
	}
	// Only directories are left; anything else is not ours to remove.
	snapshotters, err := os.ReadDir(filepath.Join(s.dir, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range snapshotters {
		err = errors.Join(err, remove(filepath.Join(s.dir, id, e.Name())))
	}
	if err = errors.Join(err, remove(filepath.Join(s.dir, id))); err != nil {
		return fmt.Errorf("remove image volumes of container %s: %w", id, err)
	}
	return nil
}

func (s *Store) removeOne(ctx context.Context, id, place string) error {
	if err := mountpoint.Detach(place); err != nil {
		return err
	}
	snapshotter, n := filepath.Base(filepath.Dir(place)), filepath.Base(place)
	if err := s.views.RemoveRootfs(ctx, snapshotter, key(id, n)); err != nil {
		return err
	}
	return remove(place)
}

func remove(dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// key names the view of a container's n-th image.
func key(id, n string) string { return "trivet-volume-" + id + "-" + n }

// place is where the n-th image of an owner is mounted.
func (s *Store) place(owner Owner, n string) string {
	return filepath.Join(s.dir, owner.ID, owner.Snapshotter, n)
}
