package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// dialLimit bounds a connection attempt.
	dialLimit = 10 * time.Second
	// headStart is how long IPv4 is tried alone. Trying both at once would
	// show a server that listens on both a second, stray connection.
	headStart = 200 * time.Millisecond
)

// loopbacks are the addresses of a pod's own loopback, the preferred first.
var loopbacks = []struct {
	family  int
	name    string
	address func(port uint16) unix.Sockaddr
}{
	{unix.AF_INET, "127.0.0.1", func(port uint16) unix.Sockaddr {
		return &unix.SockaddrInet4{Port: int(port), Addr: [4]byte{127, 0, 0, 1}}
	}},
	{unix.AF_INET6, "::1", func(port uint16) unix.Sockaddr {
		return &unix.SockaddrInet6{Port: int(port), Addr: [16]byte(net.IPv6loopback)}
	}},
}

// attempt is the outcome of connecting one socket.
type attempt struct {
	conn *net.TCPConn
	err  error
}

// connectAny connects the sockets, one for each of loopbacks or -1, and
// returns the first connection. It owns the sockets.
func connectAny(ctx context.Context, fds []int, port uint16) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	results := make(chan attempt, len(fds))
	started := make([]bool, len(fds))
	start := func(i int) {
		if started[i] {
			return
		}
		started[i] = true
		go func() { // ends with ctx at the latest; its result is waited for below
			conn, err := connect(ctx, fds[i], i, port)
			results <- attempt{conn, err}
		}()
	}
	timer := time.NewTimer(headStart)
	defer timer.Stop()
	start(0)
	var conn *net.TCPConn
	var failed []error
	for waiting := len(fds); waiting > 0; {
		select {
		case <-timer.C:
			start(1)
		case r := <-results:
			waiting--
			if r.err != nil {
				failed = append(failed, r.err)
				start(1)
				continue
			}
			cancel() // the other attempt
			if conn != nil {
				_ = r.conn.Close()
				continue
			}
			conn = r.conn
			start(1) // fails at once, and closes its socket
		}
	}
	if conn == nil {
		return nil, errors.Join(failed...)
	}
	return conn, nil
}

// connect connects one non-blocking socket and takes it over.
func connect(ctx context.Context, fd, i int, port uint16) (*net.TCPConn, error) {
	target := loopbacks[i]
	address := net.JoinHostPort(target.name, fmt.Sprint(port))
	if fd < 0 {
		return nil, fmt.Errorf("connect to %s: %w", address, unix.EAFNOSUPPORT)
	}
	f := os.NewFile(uintptr(fd), address)
	defer func() { _ = f.Close() }()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err := unix.Connect(fd, target.address(port))
	if errors.Is(err, unix.EINPROGRESS) {
		err = awaitConnected(ctx, f)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, errors.Join(conn.Close(), fmt.Errorf("connect to %s: not a TCP socket", address))
	}
	return tcp, nil
}

// awaitConnected waits in the poller until a connection is made or refused.
func awaitConnected(ctx context.Context, f *os.File) error {
	stop := context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil || code != 0 {
			failed = errors.Join(err, unix.Errno(code))
			return true
		}
		_, err = unix.Getpeername(int(fd))
		return err == nil // not connected yet: wait until it is writable
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(failed, err)
}
