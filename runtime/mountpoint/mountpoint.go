// Package mountpoint takes away what Trivet has mounted: pinned namespaces,
// tmpfs of pods, images in containers.
//
// Both functions are idempotent and go on over whatever is missing; one that
// fails has done what it could and can be called again.
package mountpoint

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

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
