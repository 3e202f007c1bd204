// Package listen binds or inherits the listeners of Trivet's processes.
//
// A listener that a parent has passed by the LISTEN_FDS convention
// (sd_listen_fds(3)) is used under its LISTEN_FDNAMES name; otherwise the
// process binds it itself. Sockets are 0600 from their first instant.
package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// maxUnixPath is the longest path of a unix socket in bytes: sun_path holds
// 108 with the final zero.
const maxUnixPath = 107

// Inherited are the files that the parent process has passed, by name.
// Several files may share a name; they keep their order.
type Inherited map[string][]*os.File

// FromParent takes the inherited files out of the environment, so that
// children of this process do not believe that they are meant. Call it once,
// first thing in main.
func FromParent() Inherited {
	// The launcher cannot know its child's pid before it exists, so it leaves
	// LISTEN_PID out; systemd sets it.
	if os.Getenv("LISTEN_FDS") != "" && os.Getenv("LISTEN_PID") == "" {
		_ = os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	}
	_ = os.Unsetenv("LISTEN_PIDFDID") // systemd's, and not yet known to activation
	files := make(Inherited)
	for _, f := range activation.Files(true) { // which are closed on exec
		files[f.Name()] = append(files[f.Name()], f)
	}
	// What else came along, such as the pipe of a script that started this
	// process, must not be held open by children that outlive it.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // kernels before 5.11 cannot
	return files
}

// Unix returns the inherited listener called name, or else binds path.
func (in Inherited) Unix(name, path string) (net.Listener, error) {
	if l, err := in.take(name); l != nil || err != nil {
		return l, err
	}
	return BindUnix(path)
}

// TCP returns the inherited listener called name, or else binds address.
func (in Inherited) TCP(name, address string) (net.Listener, error) {
	if l, err := in.take(name); l != nil || err != nil {
		return l, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

func (in Inherited) take(name string) (net.Listener, error) {
	files := in[name]
	if len(files) == 0 {
		return nil, nil
	}
	delete(in, name)
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	l, err := net.FileListener(files[0])
	if err != nil {
		return nil, fmt.Errorf("inherited listener %q: %w", name, err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		// The parent made the socket file; it outlives this process.
		u.SetUnlinkOnClose(false)
	}
	return l, nil
}

// BindUnix listens on path with mode 0600. A socket file that nobody serves
// any more is replaced; one that somebody serves is an error.
func BindUnix(path string) (net.Listener, error) {
	if len(path) > maxUnixPath {
		return nil, fmt.Errorf("listen on %s: the path has more than the %d bytes that a unix socket's may have", path, maxUnixPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return nil, fmt.Errorf("make directory of socket: %w", err)
	}
	if err := RemoveStale(path); err != nil {
		return nil, err
	}
	config := net.ListenConfig{Control: private}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		// Whoever owns the path removes it. Another process may have the socket,
		// or the path may be a successor's by then.
		u.SetUnlinkOnClose(false)
	}
	return l, nil
}

// private takes all but the owner's rights from a socket that is not bound
// yet. Linux gives the socket file the mode of the socket, less the umask, so
// there is no instant at which others could connect.
func private(_, _ string, raw syscall.RawConn) error {
	var chmod error
	if err := raw.Control(func(fd uintptr) { chmod = unix.Fchmod(int(fd), 0o600) }); err != nil {
		return err
	}
	return chmod
}

// RemoveStale removes a socket file whose server is gone. Only the kernel's
// refusal proves that: a server whose backlog is full is busy, not gone. One
// that is served is an error; none at all is not.
func RemoveStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket", path)
	}
	c, err := net.Dial("unix", path)
	switch {
	case err == nil:
		_ = c.Close()
		return fmt.Errorf("%s is served by another process", path)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("%s is served by another process, which is busy", path)
	case !errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("look whether socket is served: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove stale socket: %w", err)
	}
	return nil
}
