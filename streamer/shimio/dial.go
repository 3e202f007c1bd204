package shimio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// dial connects to the endpoint, until ctx ends.
func (e Endpoint) dial(ctx context.Context) (net.Conn, error) {
	var conn net.Conn
	var err error
	if e.network == "vsock" {
		conn, err = dialVsock(ctx, e.cid, e.port)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "unix", e.path)
	}
	if err == nil && e.network == "hvsock" {
		err = greet(ctx, conn, e.port)
		if err != nil {
			_ = conn.Close() // of no use
		}
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w: %w", e, err, errdefs.ErrUnavailable)
	}
	return conn, nil
}

// greet asks a hypervisor for a port of its guest. What follows its answer is
// the guest's, so that is read byte by byte.
func greet(ctx context.Context, conn net.Conn, port uint32) error {
	release := interruptible(ctx, conn)
	defer release()
	if _, err := fmt.Fprintf(conn, "CONNECT %d\n", port); err != nil {
		return fmt.Errorf("ask for port %d: %w", port, err)
	}
	var line [64]byte
	for n := range line {
		if _, err := io.ReadFull(conn, line[n:n+1]); err != nil {
			return fmt.Errorf("ask for port %d: %w", port, err)
		}
		if line[n] != '\n' {
			continue
		}
		if answer := string(line[:n]); !strings.HasPrefix(answer, "OK ") && answer != "OK" {
			return fmt.Errorf("ask for port %d: the answer is %q", port, answer)
		}
		return nil
	}
	return fmt.Errorf("ask for port %d: the answer has no end", port)
}

// deadlined is what can be made to return at a time.
type deadlined interface{ SetDeadline(at time.Time) error }

// interruptible makes d's calls fail when ctx ends, until release is called.
func interruptible(ctx context.Context, d deadlined) (release func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = d.SetDeadline(time.Unix(1, 0)) // in the past
	})
	return func() {
		if !stop() {
			<-done
			_ = d.SetDeadline(time.Time{})
		}
	}
}

// vsockConn is a connection to a virtual machine; package net has none.
type vsockConn struct {
	*os.File
	address vsockAddress
}

type vsockAddress string

func (vsockAddress) Network() string  { return "vsock" }
func (a vsockAddress) String() string { return string(a) }

func (c vsockConn) LocalAddr() net.Addr  { return vsockAddress("") }
func (c vsockConn) RemoteAddr() net.Addr { return c.address }

func dialVsock(ctx context.Context, cid, port uint32) (net.Conn, error) {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make vsock socket: %w", err)
	}
	name := fmt.Sprintf("%d:%d", cid, port)
	err = unix.Connect(fd, &unix.SockaddrVM{CID: cid, Port: port})
	file := os.NewFile(uintptr(fd), "vsock "+name)
	if errors.Is(err, unix.EINPROGRESS) {
		err = awaitConnected(ctx, file)
	}
	if err != nil {
		_ = file.Close() // of no use
		return nil, err
	}
	return vsockConn{file, vsockAddress(name)}, nil
}

// awaitConnected waits for a connection under way.
func awaitConnected(ctx context.Context, file *os.File) error {
	release := interruptible(ctx, file)
	defer release()
	raw, err := file.SyscallConn()
	if err != nil {
		return fmt.Errorf("wait for a connection: %w", err)
	}
	var failed error
	asked := false
	err = raw.Write(func(fd uintptr) bool {
		if !asked { // the first call is made before the socket can be written
			asked = true
			return false
		}
		var code int
		code, failed = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if failed == nil && code != 0 {
			failed = syscall.Errno(code)
		}
		return true
	})
	return errors.Join(err, failed)
}
