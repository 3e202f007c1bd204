package forward

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/netns"
)

// sockets makes one TCP socket for each of loopbacks in the network namespace
// at path; an empty path is the host's. A socket stays in the namespace where
// it was made, so this is all that has to happen inside.
func sockets(path string) (fds []int, err error) {
	if path == "" {
		return makeSockets()
	}
	namespace, err := netns.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = namespace.Close() }() // only named by it
	err = netns.Inside(namespace, func() (err error) {
		fds, err = makeSockets()
		return err
	})
	if err != nil {
		for _, fd := range fds {
			_ = unix.Close(fd) // nothing was sent; -1 is not one
		}
		return nil, err
	}
	return fds, nil
}

// makeSockets makes sockets in this thread's namespace. A family that the
// kernel does not have is left out, unless none is left.
func makeSockets() ([]int, error) {
	var fds []int
	var failed []error
	for _, one := range loopbacks {
		fd, err := unix.Socket(one.family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		if err != nil {
			failed = append(failed, fmt.Errorf("make socket: %w", err))
			fd = -1
		}
		fds = append(fds, fd)
	}
	if len(failed) == len(loopbacks) {
		return nil, errors.Join(failed...)
	}
	return fds, nil
}
