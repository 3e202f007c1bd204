// Package netns enters network namespaces, for a moment and on a thread of its
// own.
//
// A namespace is a thread's, and what Go runs on a thread is not ours to say:
// so no thread that has been inside one is ever given back unless it is outside
// again. One that does not find its way back ends.
package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Open opens the network namespace at path. Errors: ErrInvalidArgument (the
// path is not absolute or names something else), ErrNotFound.
func Open(path string) (*os.File, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return nil, fmt.Errorf("network namespace %.200q is not an absolute, clean path: %w", path, errdefs.ErrInvalidArgument)
	}
	// Non-blocking, or a FIFO of this name would hang.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, fmt.Errorf("network namespace %s does not exist: %w", path, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	kind, err := unix.IoctlRetInt(int(file.Fd()), unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		return nil, errors.Join(fmt.Errorf("%s is not a network namespace: %w", path, errdefs.ErrInvalidArgument), file.Close())
	}
	return file, nil
}

// Inside runs fn on a thread in the namespace, and returns when it has ended.
// What fn starts on other goroutines is not inside.
func Inside(namespace *os.File, fn func() error) error {
	var thread errgroup.Group
	thread.Go(func() error {
		runtime.LockOSThread()
		// Not the process's: its first thread may be inside a pod's right now.
		host, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			runtime.UnlockOSThread()
			return fmt.Errorf("open own network namespace: %w", err)
		}
		defer func() { _ = unix.Close(host) }() // only named by it
		err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
		if err != nil {
			err = fmt.Errorf("enter network namespace: %w", err)
		} else {
			err = fn()
		}
		if back := unix.Setns(host, unix.CLONE_NEWNET); back != nil {
			// Still locked, the thread ends with this goroutine.
			return errors.Join(err, fmt.Errorf("leave network namespace: %w", back))
		}
		runtime.UnlockOSThread()
		return err
	})
	return thread.Wait()
}
