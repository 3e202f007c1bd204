package journald

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// line is the connection to journald. It is made when there is something to
// write, and made anew after an error: journald may have been restarted.
type line struct {
	socket string
	conn   *net.UnixConn
}

// write sends one entry. It waits until the deadline at most.
func (l *line) write(entry []byte, deadline time.Time) error {
	fresh := l.conn == nil
	err := l.try(entry, deadline)
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	l.close()
	if fresh {
		return err
	}
	if err = l.try(entry, deadline); err != nil {
		l.close()
	}
	return err
}

func (l *line) try(entry []byte, deadline time.Time) error {
	if l.conn == nil {
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: l.socket, Net: "unixgram"})
		if err != nil {
			return err
		}
		l.conn = conn
	}
	if err := l.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	_, err := l.conn.Write(entry)
	if errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS) {
		return l.writeFile(entry)
	}
	return err
}

// writeFile sends an entry that is too long for a datagram: in a file in
// memory, sealed, so that journald need not copy it to be safe.
func (l *line) writeFile(entry []byte) error {
	fd, err := unix.MemfdCreate("trivet-journal-entry", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return fmt.Errorf("make a file of an entry: %w", err)
	}
	file := os.NewFile(uintptr(fd), "entry")
	defer func() { _ = file.Close() }() // journald has its own
	if _, err := file.Write(entry); err != nil {
		return fmt.Errorf("make a file of an entry: %w", err)
	}
	seals := unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("seal the file of an entry: %w", err)
	}
	raw, err := l.conn.SyscallConn()
	if err != nil {
		return err
	}
	// The library sends descriptors on connections of streams only.
	var sent error
	err = raw.Write(func(to uintptr) bool {
		sent = unix.Sendmsg(int(to), nil, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
		return !errors.Is(sent, unix.EAGAIN)
	})
	return errors.Join(err, sent)
}

func (l *line) close() {
	if l.conn != nil {
		_ = l.conn.Close() // nothing is buffered
		l.conn = nil
	}
}
