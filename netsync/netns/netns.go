// Package netns looks at pods' network namespaces and brings up their
// loopback interface. It never leaves a thread in a namespace of a pod.
package netns

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Kernel is this machine's kernel.
type Kernel struct{}

// Verify returns ErrInvalidArgument unless path is a network namespace other
// than this process's own.
func (Kernel) Verify(path string) error {
	fd, err := open(path)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	var own, pod unix.Stat_t
	// Not the process's: its first thread may be inside a pod's right now.
	if err := unix.Stat("/proc/thread-self/ns/net", &own); err != nil {
		return fmt.Errorf("look at own network namespace: %w", err)
	}
	if err := unix.Fstat(fd, &pod); err != nil {
		return fmt.Errorf("look at network namespace %s: %w", path, err)
	}
	if own.Dev == pod.Dev && own.Ino == pod.Ino {
		return fmt.Errorf("network namespace %s is the host's: %w", path, errdefs.ErrInvalidArgument)
	}
	return nil
}

// Gone tells whether path is no namespace any more: after a reboot the file
// of a pin is missing or an ordinary one.
func (Kernel) Gone(path string) bool {
	fd, err := open(path)
	if err != nil {
		return errors.Is(err, errdefs.ErrInvalidArgument)
	}
	_ = unix.Close(fd)
	return false
}

// LoopbackUp brings lo up in the namespace, which gives it its addresses.
func (Kernel) LoopbackUp(path string) error {
	fd, err := open(path)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := inside(fd, loopbackUp); err != nil {
		return fmt.Errorf("bring up lo in network namespace %s: %w", path, err)
	}
	return nil
}

// inside runs fn on a thread in the namespace. A thread that does not find
// its way back stays locked and ends with its goroutine: no other work, least
// of all a plugin's start, may land on it.
func inside(fd int, fn func() error) error {
	var thread errgroup.Group
	thread.Go(func() error {
		runtime.LockOSThread()
		host, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			runtime.UnlockOSThread()
			return err
		}
		defer func() { _ = unix.Close(host) }()
		err = unix.Setns(fd, unix.CLONE_NEWNET)
		if err == nil {
			err = fn()
		}
		if back := unix.Setns(host, unix.CLONE_NEWNET); back != nil {
			return errors.Join(err, fmt.Errorf("return to the host's: %w", back))
		}
		runtime.UnlockOSThread()
		return err
	})
	return thread.Wait()
}

func loopbackUp() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(socket) }()
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(socket, unix.SIOCGIFFLAGS, lo); err != nil {
		return err
	}
	lo.SetUint16(lo.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, lo)
}

// open returns a descriptor of the network namespace at path.
func open(path string) (int, error) {
	if !filepath.IsAbs(path) {
		return -1, fmt.Errorf("network namespace %q is not an absolute path: %w", path, errdefs.ErrInvalidArgument)
	}
	// O_NONBLOCK: the path may be a FIFO that nobody writes to.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return -1, fmt.Errorf("network namespace %s does not exist: %w", path, errdefs.ErrInvalidArgument)
	}
	if err != nil {
		return -1, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("%s is not a network namespace: %w", path, errdefs.ErrInvalidArgument)
	}
	return fd, nil
}
