package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"golang.org/x/sys/unix"
)

// RestartContainerd makes the lab's containerd hang, has without run meanwhile,
// kills it with SIGKILL and waits until the one that the lab starts in its
// place answers. Shims and containers go on.
func (l *Lab) RestartContainerd(ctx context.Context, without func()) error {
	if err := l.awaitSettled(ctx); err != nil {
		return err
	}
	pid, err := l.containerdPID(ctx)
	if err != nil {
		return err
	}
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		return fmt.Errorf("stop containerd: %w", err)
	}
	func() {
		defer func() { err = unix.Kill(pid, unix.SIGKILL) }() // also when without ends the test
		without()
	}()
	if err != nil {
		return fmt.Errorf("kill containerd: %w", err)
	}
	return Wait(ctx, "another containerd", func(ctx context.Context) error {
		now, err := l.containerdPID(ctx)
		if err != nil {
			return err
		}
		if now == pid {
			return fmt.Errorf("process %d still has the socket", pid)
		}
		return l.askContainerd(ctx)
	})
}

// settled is how old containerd must be when it ends: a lab gives up with one
// that has lived for less than two seconds.
const settled = 2500 * time.Millisecond

// awaitSettled waits until containerd's socket is that old.
func (l *Lab) awaitSettled(ctx context.Context) error {
	return Wait(ctx, "containerd to be up for a while", func(context.Context) error {
		info, err := os.Stat(l.ContainerdSocket)
		if err != nil {
			return err
		}
		if age := time.Since(info.ModTime()); age < settled {
			return fmt.Errorf("it is up for %s", age)
		}
		return nil
	})
}

// containerdPID is the process that listens on containerd's socket.
func (l *Lab) containerdPID(ctx context.Context) (int, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", l.ContainerdSocket)
	if err != nil {
		return 0, fmt.Errorf("connect to containerd: %w", err)
	}
	defer func() { _ = conn.Close() }()
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, fmt.Errorf("connection to containerd is a %T", conn)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("look for containerd: %w", err)
	}
	var peer *unix.Ucred
	var peerErr error
	err = raw.Control(func(fd uintptr) { peer, peerErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, peerErr); err != nil {
		return 0, fmt.Errorf("look for containerd: %w", err)
	}
	return int(peer.Pid), nil
}

// askContainerd returns an error unless containerd serves.
func (l *Lab) askContainerd(ctx context.Context) error {
	client, err := containerd.New(l.ContainerdSocket)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	_, err = client.Version(ctx)
	return err
}
