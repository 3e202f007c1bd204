// Package netns looks at pods' network namespaces and brings up their
// loopback interface. It never leaves a thread in a namespace of a pod.
package netns

import (
	"errors"
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/netns"
)

// Kernel is this machine's kernel.
type Kernel struct{}

// Verify returns ErrInvalidArgument unless path is a network namespace other
// than this process's own.
func (Kernel) Verify(path string) error {
	file, err := open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	var own, pod unix.Stat_t
	// Not the process's: its first thread may be inside a pod's right now.
	if err := unix.Stat("/proc/thread-self/ns/net", &own); err != nil {
		return fmt.Errorf("look at own network namespace: %w", err)
	}
	if err := unix.Fstat(int(file.Fd()), &pod); err != nil {
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
	file, err := open(path)
	if err != nil {
		return errors.Is(err, errdefs.ErrInvalidArgument)
	}
	_ = file.Close()
	return false
}

// LoopbackUp brings lo up in the namespace, which gives it its addresses.
func (Kernel) LoopbackUp(path string) error {
	file, err := open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := netns.Inside(file, loopbackUp); err != nil {
		return fmt.Errorf("bring up lo in network namespace %s: %w", path, err)
	}
	return nil
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

// open opens the network namespace at path. One that is not there is
// ErrInvalidArgument as well.
func open(path string) (*os.File, error) {
	file, err := netns.Open(path)
	if errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("%s: %w", err.Error(), errdefs.ErrInvalidArgument) // of one kind only
	}
	return file, err
}
