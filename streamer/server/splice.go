package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// conduitSize is asked for conduits, in bytes; the kernel may refuse.
	conduitSize = 512 << 10
	// spliceSize is how many bytes are moved at once.
	spliceSize = 256 << 10
)

// conduit is the pipe through which bytes get from a socket to another
// without being copied.
type conduit struct{ read, write int }

func newConduit() (*conduit, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, conduitSize)
	return &conduit{fds[0], fds[1]}, nil
}

func (c *conduit) close() {
	_ = unix.Close(c.read)
	_ = unix.Close(c.write)
}

// fill waits for bytes of a socket and takes them. Error: EOF and others.
func (c *conduit) fill(from syscall.RawConn) (int, error) {
	var moved int
	err := retried(from.Read, func(fd int) error {
		n, err := unix.Splice(fd, nil, c.write, nil, spliceSize, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		moved = int(n)
		return err
	})
	if err == nil && moved == 0 {
		err = io.EOF
	}
	return moved, err
}

// frame sends n bytes, which must be there, as data of a stream.
func (c *conduit) frame(to syscall.RawConn, stream uint32, n int) error {
	header := binary.BigEndian.AppendUint32(nil, stream)
	header = binary.BigEndian.AppendUint32(header, uint32(n))
	for len(header) > 0 {
		err := retried(to.Write, func(fd int) error {
			sent, err := unix.SendmsgN(fd, header, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
			header = header[max(sent, 0):]
			return err
		})
		if err != nil {
			return err
		}
	}
	for n > 0 {
		err := retried(to.Write, func(fd int) error {
			sent, err := unix.Splice(c.read, nil, fd, nil, n, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
			n -= int(max(sent, 0))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// retried does what may have to wait for a socket.
func retried(wait func(func(fd uintptr) bool) error, do func(fd int) error) error {
	var err error
	closed := wait(func(fd uintptr) bool {
		for {
			if err = do(int(fd)); !errors.Is(err, unix.EINTR) {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	})
	if closed != nil {
		return closed
	}
	return err
}

// splices tells whether the client's connection can be spliced to.
func (w *wire) splices() bool {
	_, ok := w.to.conn.(*net.TCPConn)
	return ok
}

// splice sends what comes from a pod as data of a stream, until its end. moved
// is called with how many bytes that were, of each frame. Error:
// ErrUnsupported if it cannot be done, and nothing has been.
func (w *wire) splice(stream uint32, pod *net.TCPConn, moved func(int)) error {
	client, ok := w.to.conn.(*net.TCPConn)
	if !ok {
		return errors.ErrUnsupported
	}
	from, err := pod.SyscallConn()
	if err != nil {
		return err
	}
	to, err := client.SyscallConn()
	if err != nil {
		return err
	}
	between, err := newConduit()
	if err != nil {
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	defer between.close()
	for {
		n, err := between.fill(from)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		w.active()
		if err := w.to.splice(to, stream, between, n); err != nil {
			return err
		}
		moved(n)
	}
}

// splice sends what is in a conduit as a data frame.
func (g *gatherer) splice(to syscall.RawConn, stream uint32, from *conduit, n int) error {
	g.sending.Lock()
	defer g.sending.Unlock()
	return from.frame(to, stream, n)
}
