package sweep

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Unmount unmounts everything at dir and below it, the last mount first.
func Unmount(dir string) error {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil // nothing there, so nothing mounted
	}
	var failed []error
	// A mount may cover others, and those below it show only when it is gone.
	for range 10 {
		mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(real))
		if err != nil {
			return fmt.Errorf("list mounts: %w", err)
		}
		if len(mounts) == 0 {
			return nil
		}
		failed = nil
		for _, mount := range slices.Backward(mounts) {
			err := unix.Unmount(mount.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
			if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
				failed = append(failed, fmt.Errorf("unmount %s: %w", mount.Mountpoint, err))
			}
		}
	}
	return errors.Join(append(failed, fmt.Errorf("%w: mounts below %s", ErrLeft, dir))...)
}
