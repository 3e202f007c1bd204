package stats

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Namespaces reads the interfaces of network namespaces.
type Namespaces struct{}

// Interfaces are those of the namespace at path, but for lo. They are read
// from /proc, which takes no lock of the kernel's that a network's change would
// hold, as a dump over netlink does. Errors: NotFound if there is no namespace.
func (Namespaces) Interfaces(path string) ([]Interface, error) {
	// Non-blocking, or a FIFO of this name would hang.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("network namespace %s: %w", path, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	defer func() { _ = unix.Close(fd) }()
	text, err := inside(fd, "/proc/thread-self/net/dev")
	if err != nil {
		return nil, fmt.Errorf("read interfaces of network namespace %s: %w", path, err)
	}
	found, err := interfaces(text)
	if err != nil {
		return nil, fmt.Errorf("read interfaces of network namespace %s: %w", path, err)
	}
	return found, nil
}

// inside reads a file on a thread in the namespace. A thread that does not
// find its way back stays locked and ends with its goroutine.
func inside(fd int, file string) (text string, err error) {
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
		if errors.Is(err, unix.EINVAL) {
			err = fmt.Errorf("it is none: %w", errdefs.ErrNotFound) // an unmounted pin
		}
		if err == nil {
			var read []byte
			read, err = os.ReadFile(file)
			text = string(read)
		}
		if back := unix.Setns(host, unix.CLONE_NEWNET); back != nil {
			return errors.Join(err, fmt.Errorf("return to the host's: %w", back))
		}
		runtime.UnlockOSThread()
		return err
	})
	return text, thread.Wait()
}
