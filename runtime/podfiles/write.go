package podfiles

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/opencontainers/selinux/go-selinux"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/undo"
)

// writeNew makes a file that any user can read, whatever the umask.
func writeNew(path string, text []byte, mountLabel string, made *undo.Stack) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	made.Add(path, func(context.Context) error { return os.Remove(path) })
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(0o644), file.Close())
	if err == nil && mountLabel != "" {
		err = selinux.SetFileLabel(path, mountLabel)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// makeDir makes a directory that all users may pass, whatever the umask.
func makeDir(path string) error {
	if err := os.Mkdir(path, 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if info, err := os.Lstat(path); err != nil || !info.IsDir() {
		return errors.Join(err, &fs.PathError{Op: "mkdir", Path: path, Err: unix.ENOTDIR})
	}
	return os.Chmod(path, 0o711)
}

// removeDir removes the pod's directory, which stays while others keep
// something in it.
func removeDir(path string) error {
	err := unix.Rmdir(path)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTEMPTY) {
		return nil
	}
	return &fs.PathError{Op: "rmdir", Path: path, Err: err}
}
