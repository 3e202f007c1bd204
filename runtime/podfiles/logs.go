package podfiles

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/selinux/go-selinux"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/undo"
	"github.com/trivet-cri/trivet/runtime/mountpoint"
)

// showLogs mounts the pod's log directory on the volume of a request that has
// one. The note, a link to the volume, is made before, so that hideLogs finds
// whatever there is.
func showLogs(note, dir string, r Request, made *undo.Stack) error {
	if r.LogVolume == "" {
		return nil
	}
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("log_directory %.200q of a pod that shows its logs is not absolute: %w", dir, errdefs.ErrInvalidArgument)
	}
	if err := os.Symlink(r.LogVolume, note); err != nil {
		return err
	}
	made.Add("logs", func(context.Context) error { return hideLogs(note) })
	// That of a start that was cut short before there was a note.
	if err := unmountLogs(r.LogVolume); err != nil {
		return err
	}
	if r.MountLabel != "" {
		if err := selinux.SetFileLabel(dir, r.MountLabel); err != nil {
			return fmt.Errorf("label %s: %w", dir, err)
		}
	}
	err := mountReadonly(dir, r.LogVolume)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOSYS) {
		err = fmt.Errorf("%w: %w", err, errdefs.ErrFailedPrecondition)
	}
	return err
}

// mountReadonly shows the directory dir at another one, and is at no time
// writable there. It needs Linux 5.12.
func mountReadonly(dir, at string) error {
	target, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: at, Err: err}
	}
	defer func() { _ = unix.Close(target) }() // refers to a path only
	tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return &fs.PathError{Op: "open_tree", Path: dir, Err: err}
	}
	defer func() { _ = unix.Close(tree) }() // the mount stays if it was moved
	attributes := unix.MountAttr{
		Attr_set:    unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC,
		Propagation: unix.MS_PRIVATE,
	}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attributes); err != nil {
		return &fs.PathError{Op: "mount_setattr", Path: dir, Err: err}
	}
	if err := unix.MoveMount(tree, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return &fs.PathError{Op: "move_mount", Path: at, Err: err}
	}
	return nil
}

// hideLogs takes the logs away from the volume that the note names. It is
// idempotent.
func hideLogs(note string) error {
	volume, err := os.Readlink(note)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := unmountLogs(volume); err != nil {
		return err
	}
	return os.Remove(note)
}

// unmountLogs unmounts what is mounted read-only on a volume. What is writable
// is the volume itself, which is the kubelet's.
func unmountLogs(volume string) error {
	for {
		mounted, err := mountpoint.Is(volume)
		if !mounted || err != nil {
			return err
		}
		var stat unix.Statfs_t
		if err := unix.Statfs(volume, &stat); err != nil {
			return &fs.PathError{Op: "statfs", Path: volume, Err: err}
		}
		if stat.Flags&unix.ST_RDONLY == 0 {
			return nil
		}
		if err := unix.Unmount(volume, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return &fs.PathError{Op: "unmount", Path: volume, Err: err}
		}
	}
}
