package imagevolume

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/containerd/containerd/v2/core/mount"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	crierrors "k8s.io/cri-api/pkg/errors"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/mountpoint"
)

// Owner is the container that the images are for.
type Owner struct {
	ID          string
	Snapshotter string            // of its handler
	Labels      map[string]string // that its own snapshot has: they shift owners into its user namespace
	MountLabel  string            // SELinux label of its files; empty without SELinux
}

// Volume is an image that is mounted on this machine.
type Volume struct {
	Mount    int    // index in the request's mounts
	View     string // key of the snapshot
	HostPath string // the image's root, or its sub path
	Image    image.Image
}

// Create mounts the images among mounts. What of it exists when it fails,
// Remove takes away. Errors name field and value: NotFound for an image that
// is not here, InvalidArgument for a sub path that is no directory in it.
func (s *Store) Create(ctx context.Context, owner Owner, mounts []*runtimeapi.Mount) ([]Volume, error) {
	var volumes []Volume
	first := make(map[string]Volume) // by image reference; mounted at its root
	for i, m := range mounts {
		ref := m.GetImage().GetImage()
		if ref == "" {
			continue
		}
		root, known := first[ref]
		if !known {
			var err error
			if root, err = s.create(ctx, owner, i, ref); err != nil {
				// The kubelet knows the CRI's error by its text.
				return nil, fmt.Errorf("mounts[%d].image %.200q: %w: %w", i, ref, crierrors.ErrImageVolumeMountFailed, err)
			}
			first[ref] = root
		}
		volume := root
		volume.Mount = i
		if sub := m.GetImageSubPath(); sub != "" {
			path, err := subPath(root.HostPath, sub)
			if err != nil {
				return nil, fmt.Errorf("mounts[%d].image_sub_path %.200q: %w: %w", i, sub, crierrors.ErrImageVolumeMountFailed, err)
			}
			volume.HostPath = path
		}
		volumes = append(volumes, volume)
	}
	return volumes, nil
}

// create mounts the root of one image.
func (s *Store) create(ctx context.Context, owner Owner, n int, ref string) (Volume, error) {
	img, err := s.images.Resolve(ctx, ref)
	if err != nil {
		return Volume{}, err
	}
	if err := s.images.EnsureUnpacked(ctx, img, owner.Snapshotter); err != nil {
		return Volume{}, err
	}
	number := strconv.Itoa(n)
	place := s.place(owner, number)
	if err := os.MkdirAll(place, 0o711); err != nil {
		return Volume{}, fmt.Errorf("make mount point: %w", err)
	}
	mounts, err := s.views.CreateView(ctx, engine.View{
		Snapshotter: owner.Snapshotter, Key: key(owner.ID, number), ChainID: img.ChainID, Labels: owner.Labels,
		// A view of a single layer is a bind, which cannot have a label of its
		// own, and which the library does not map if it is read-only. A
		// snapshot that could be written to is neither.
		Writable: owner.MountLabel != "" || len(owner.Labels) > 0,
	})
	if err != nil {
		return Volume{}, err
	}
	if err := mountAt(ctx, mounts, place, owner.MountLabel); err != nil {
		return Volume{}, err
	}
	return Volume{View: key(owner.ID, number), HostPath: place, Image: img}, nil
}

// Restore mounts again those images of a created container whose mounts are
// gone, as after somebody's umount. mounts are those that it was created with.
func (s *Store) Restore(ctx context.Context, owner Owner, mounts []*runtimeapi.Mount) error {
	seen := make(map[string]bool)
	for i, m := range mounts {
		ref := m.GetImage().GetImage()
		if ref == "" || seen[ref] {
			continue
		}
		seen[ref] = true
		if err := s.restore(ctx, owner, strconv.Itoa(i)); err != nil {
			return fmt.Errorf("mounts[%d].image %.200q: %w: %w", i, ref, crierrors.ErrImageVolumeMountFailed, err)
		}
	}
	return nil
}

func (s *Store) restore(ctx context.Context, owner Owner, n string) error {
	place := s.place(owner, n)
	if mounted, err := mountpoint.Is(place); mounted || err != nil {
		return err
	}
	mounts, err := s.views.RootfsMounts(ctx, owner.Snapshotter, key(owner.ID, n))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(place, 0o711); err != nil {
		return fmt.Errorf("make mount point: %w", err)
	}
	return mountAt(ctx, mounts, place, owner.MountLabel)
}

// mountAt mounts read-only.
func mountAt(ctx context.Context, mounts []mount.Mount, place, label string) error {
	return telemetry.Span(ctx, "image.mount", func(context.Context) error {
		for _, m := range readOnly(mounts, label) {
			if err := m.Mount(place); err != nil {
				return fmt.Errorf("mount it on %s: %w", place, err)
			}
		}
		return nil
	})
}

// readOnly are mounts that cannot be written to, with an SELinux label where
// they are file systems of their own.
func readOnly(mounts []mount.Mount, label string) []mount.Mount {
	var all []mount.Mount
	for _, m := range mounts {
		m.Options = slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool { return o == "rw" || o == "ro" })
		m.Options = append(m.Options, "ro")
		if label != "" && m.Type == "overlay" {
			m.Options = append(m.Options, fmt.Sprintf("context=%q", label))
		}
		all = append(all, m)
	}
	return all
}
