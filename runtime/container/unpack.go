package container

import (
	"context"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/operation"
)

// unpacked does work that needs an image in a snapshotter. Kubelets pull an
// image once, whatever handlers use it, so it may only be in the snapshotter of
// another: then it is unpacked and work is done again. Asking first would cost
// every container a call.
func (s *Service) unpacked(ctx context.Context, img image.Image, snapshotter string, work func() error) error {
	err := work()
	if !errdefs.IsNotFound(err) {
		return err
	}
	operation.Stage(ctx, "unpack image")
	if err := s.Images.EnsureUnpacked(ctx, img, snapshotter); err != nil {
		return err
	}
	return work()
}

// prepareRootfs makes the container's snapshot of an image.
func (s *Service) prepareRootfs(ctx context.Context, c *Container, img image.Image) (mounts []mount.Mount, err error) {
	err = s.unpacked(ctx, img, c.snapshotter, func() error {
		mounts, err = s.Snapshots.PrepareRootfs(ctx, c.snapshotter, c.ID, img.ChainID, c.snapshotLabels)
		return err
	})
	return mounts, err
}
