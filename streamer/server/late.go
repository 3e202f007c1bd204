package server

import (
	"errors"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// lateReader is a reader that needs no buffer while it waits.
type lateReader interface {
	// readLate reads into what buffer returns. It is called when there may be
	// something to read; and after idle, which says that there was nothing,
	// again. Errors are those of Read.
	readLate(buffer func() []byte, idle func()) (int, error)
}

// late is a lateReader.
type late struct {
	*watched
	raw syscall.RawConn
}

// reader is the best reader of the connection: a lateReader if it can be one.
func (w *watched) reader() io.Reader {
	if tcp, ok := w.Conn.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			return late{w, raw}
		}
	}
	return w
}

func (l late) readLate(buffer func() []byte, idle func()) (n int, err error) {
	if len(l.early) > 0 {
		return l.Read(buffer())
	}
	err = retried(l.raw.Read, func(fd int) (err error) {
		if n, err = unix.Read(fd, buffer()); errors.Is(err, unix.EAGAIN) {
			idle()
		}
		return err
	})
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		l.lost()
		return 0, err
	}
	return n, nil
}
