// Package mountpoint finds and takes away what Trivet has mounted: pinned
// namespaces, tmpfs of pods, images in containers.
//
// Detach and Remove are idempotent and go on over whatever is missing; one that
// fails has done what it could and can be called again.
package mountpoint

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Is tells whether something is mounted on path: on it and not around it. A
// link is not followed. Nothing is mounted on what is missing.
func Is(path string) (bool, error) {
	var stat unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_TYPE, &stat)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, &fs.PathError{Op: "statx", Path: path, Err: err}
	}
	return stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}

// Detach unmounts all that is mounted on path, whoever uses it. A path that is
// missing, or that nothing is mounted on, is fine; a link is not followed.
func Detach(path string) error {
	for {
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		switch {
		case err == nil, errors.Is(err, unix.EINTR):
			continue // there may be one below it
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.EINVAL):
			return nil
		}
		return &fs.PathError{Op: "unmount", Path: path, Err: err}
	}
}

// Remove detaches what is on path, then removes the file, link or empty
// directory itself, which detaches copies in other mount namespaces, too.
func Remove(path string) error {
	if err := Detach(path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
