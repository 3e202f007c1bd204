package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Leases of ours carry this label, so that those of a killed process are found.
const (
	kindLabel = "io.trivet.kind"
	viewKind  = "view"
)

// UseMounts makes dir the place of temporary mounts, and removes those that a
// killed process has left there. Call it before anything is mounted.
func UseMounts(dir string) error {
	if err := mount.SetTempMountLocation(dir); err != nil {
		return fmt.Errorf("make directory of temporary mounts: %w", err)
	}
	left, err := mount.CleanupTempMounts(unix.MNT_DETACH)
	if err := errors.Join(append(left, err)...); err != nil {
		return fmt.Errorf("remove temporary mounts: %w", err)
	}
	return nil
}

// SweepViews ends the leases of views that a killed process had before asOf.
// containerd then collects what they held.
func (e *Engine) SweepViews(ctx context.Context, asOf time.Time) error {
	service := e.client.LeasesService()
	found, err := service.List(ctx, fmt.Sprintf("labels.%q==%s", kindLabel, viewKind))
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	for _, lease := range found {
		if !lease.CreatedAt.Before(asOf) {
			continue
		}
		if err := service.Delete(ctx, leases.Lease{ID: lease.ID}); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("end lease %s: %w", lease.ID, err)
		}
	}
	return nil
}
