// Package eager writes without waiting long, so that who has data for
// somebody else's writer need not wake them to have it written.
package eager

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// patience, in milliseconds, is how long the other side may take to make
	// room. A reader that runs needs less than it costs to leave it to the
	// runtime's poller, and to somebody else.
	patience = 2
	// limit is how long one who is in time each time may take for all.
	limit = 5 * time.Millisecond
	// patientLimit is how many may wait so at a time: each takes a thread.
	patientLimit = 4
)

// waiting are those that wait so.
var waiting atomic.Int32

// Writer is a writer that can also be written to without waiting long.
type Writer interface {
	io.Writer
	// TryWrite writes as much of data, in order, as the other side takes within
	// some milliseconds, and returns how many bytes that were. It must not be
	// called during a Write. Errors are those of Write.
	TryWrite(data [][]byte) (int, error)
}

// New makes a Writer of a socket or a pipe that the runtime's poller knows.
// Anything else is returned as it is.
func New(w io.Writer) io.Writer {
	conn, ok := w.(syscall.Conn)
	if !ok {
		return w
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return w
	}
	return &file{Writer: w, raw: raw}
}

type file struct {
	io.Writer
	raw  syscall.RawConn
	rest [][]byte
}

// TryWrite implements Writer.
func (f *file) TryWrite(data [][]byte) (n int, err error) {
	f.rest = append(f.rest[:0], data...)
	closed := f.raw.Write(func(fd uintptr) bool {
		n, err = f.write(int(fd))
		return true
	})
	clear(f.rest)
	if err == nil && closed != nil {
		err = fmt.Errorf("%w: %w", os.ErrClosed, closed)
	}
	return n, err
}

func (f *file) write(fd int) (written int, err error) {
	var full time.Time // when it was for the first time
	for rest := f.rest; len(rest) > 0; {
		n, err := unix.Writev(fd, rest)
		switch err {
		case nil:
			written += n
			rest = after(rest, n)
		case unix.EINTR:
		case unix.EAGAIN:
			if full.IsZero() {
				full = time.Now()
			}
			if time.Since(full) > limit || !room(fd) {
				return written, nil
			}
		default:
			return written, err
		}
	}
	return written, nil
}

// after is what follows the first n bytes. It changes pieces.
func after(pieces [][]byte, n int) [][]byte {
	for len(pieces) > 0 && n >= len(pieces[0]) {
		n -= len(pieces[0])
		pieces = pieces[1:]
	}
	if n > 0 {
		pieces[0] = pieces[0][n:]
	}
	return pieces
}

// room waits a little until something can be written, or has failed.
func room(fd int) bool {
	defer waiting.Add(-1)
	if waiting.Add(1) > patientLimit {
		return false
	}
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, patience)
	return n > 0 && err == nil
}
