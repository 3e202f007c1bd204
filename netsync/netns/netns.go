// Package netns looks at pods' network namespaces and brings up their
// loopback interface. It never leaves a thread in a namespace of a pod.
package netns

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
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
	if err := unix.Stat("/proc/self/ns/net", &own); err != nil {
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
	// The handle's socket belongs to the namespace; the thread comes back.
	handle, err := netlink.NewHandleAt(netns.NsHandle(fd), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	defer handle.Close()
	lo, err := handle.LinkByName("lo")
	if err == nil {
		err = handle.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("bring up lo in %s: %w", path, err)
	}
	return nil
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
