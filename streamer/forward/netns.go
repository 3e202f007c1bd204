package forward

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// openNetns opens a network namespace by its path. Errors: ErrInvalidArgument
// (the path is not absolute or names something else), ErrNotFound.
func openNetns(path string) (*os.File, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return nil, fmt.Errorf("netns_path %q is not an absolute, clean path: %w", path, errdefs.ErrInvalidArgument)
	}
	// Non-blocking, or a FIFO of this name would hang.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("network namespace %s: %w", path, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &stat); err != nil || stat.Type != unix.NSFS_MAGIC {
		return nil, errors.Join(f.Close(), fmt.Errorf("netns_path %q is not a namespace: %w", path, errdefs.ErrInvalidArgument))
	}
	kind, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		return nil, errors.Join(f.Close(), fmt.Errorf("netns_path %q is not a network namespace: %w", path, errdefs.ErrInvalidArgument))
	}
	return f, nil
}

// sockets makes one TCP socket for each address family in a network
// namespace. A socket stays in the namespace where it was made, so this is
// all that has to happen inside.
func sockets(namespace, own *os.File, families []int) ([]int, error) {
	type result struct {
		fds []int
		err error
	}
	done := make(chan result)
	go func() { // waited for below; a thread of its own, because a namespace is a thread's
		runtime.LockOSThread()
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			done <- result{nil, fmt.Errorf("enter network namespace: %w", err)}
			return
		}
		fds, err := makeSockets(families)
		// A thread that cannot go back stays locked and dies with this goroutine.
		if unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- result{fds, err}
	}()
	made := <-done
	return made.fds, made.err
}

// makeSockets makes sockets in this thread's namespace. A family that the
// kernel does not have is left out, unless none is left.
func makeSockets(families []int) ([]int, error) {
	var fds []int
	var failed []error
	for _, family := range families {
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		if err != nil {
			failed = append(failed, fmt.Errorf("make socket: %w", err))
			fd = -1
		}
		fds = append(fds, fd)
	}
	if len(failed) == len(families) {
		return nil, errors.Join(failed...)
	}
	return fds, nil
}
