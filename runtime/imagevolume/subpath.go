package imagevolume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// subPath is the path, free of links, of a directory below an image's root.
// A link is followed as long as it stays inside; one that leads out, also for
// a while, and one that is absolute, is refused, and so is a file: volumes of
// images are directories. The root is mounted read-only, so what is found
// stays as it is. Everything that is wrong with sub is InvalidArgument.
func subPath(root, sub string) (string, error) {
	if !filepath.IsLocal(sub) {
		return "", fmt.Errorf("leads out of the image: %w", errdefs.ErrInvalidArgument)
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return "", fmt.Errorf("open image root: %w", err)
	}
	defer func() { _ = dir.Close() }() // nothing was written
	info, err := dir.Stat(sub)
	if err != nil {
		return "", invalidPath(err)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("is no directory in the image: %w", errdefs.ErrInvalidArgument)
	}
	found, err := filepath.EvalSymlinks(filepath.Join(root, sub))
	if err != nil {
		return "", fmt.Errorf("follow links: %w", err)
	}
	if found != root && !strings.HasPrefix(found, root+string(filepath.Separator)) {
		return "", fmt.Errorf("leads out of the image: %w", errdefs.ErrInvalidArgument)
	}
	return found, nil
}

// invalidPath tells what of a path the client got wrong from what went wrong
// with the file system.
func invalidPath(err error) error {
	var reason *os.PathError
	if !errors.As(err, &reason) {
		return err
	}
	var code unix.Errno
	if errors.As(reason.Err, &code) {
		switch code {
		case unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EINVAL, unix.ENAMETOOLONG:
		default:
			return err
		}
	}
	// Without a number it is the Root's own: the path escapes, or loops.
	return fmt.Errorf("cannot be had of the image: %w: %w", reason.Err, errdefs.ErrInvalidArgument)
}
