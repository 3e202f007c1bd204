package listen_test

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/listen"
)

// inotify sees the file at its birth: what it had then for a mode is what
// others could have used.
func TestSocketIsPrivateFromTheFirstInstant(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(watch) }()
	if _, err := unix.InotifyAddWatch(watch, dir, unix.IN_CREATE|unix.IN_ATTRIB|unix.IN_MOVED_TO); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := listen.BindUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("mode is %v", info.Mode())
	}
	// One event: made as it is, neither changed nor renamed later.
	buffer := make([]byte, 4096)
	n, err := unix.Read(watch, buffer)
	if err != nil || n != unix.SizeofInotifyEvent+16 || buffer[5] != unix.IN_CREATE>>8 {
		t.Errorf("events of the directory: %d bytes %v, error %v", n, buffer[:max(n, 0)], err)
	}
}

func TestBindMakesTheDirectory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "run", "trivet", "s")
	l, err := listen.BindUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("directory: %v, %v", info, err)
	}
}

// Not parallel: a child that another test forks has all sockets until it
// executes its program.
func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for range 3 {
		l, err := listen.BindUnix(path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Errorf("new socket: %v", err)
		} else {
			_ = c.Close()
		}
		_ = l.Close() // the file stays, as after a kill
		if _, err := os.Lstat(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServedSocketIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l, err := listen.BindUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if _, err := listen.BindUnix(path); err == nil || err.Error() != path+" is served by another process" {
		t.Errorf("error is %v", err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("the first server lost its socket: %v", err)
	} else {
		_ = c.Close()
	}
}

// A server that does not accept for a while has a full backlog, which the
// kernel answers with EAGAIN. Its socket must not be taken away.
func TestBusySocketIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for { // fill the backlog
		c, err := net.Dial("unix", path)
		if err != nil {
			break
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	if _, err := listen.BindUnix(path); err == nil || !strings.Contains(err.Error(), path+" is served by another process") {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the busy server's socket is gone: %v", err)
	}
}

func TestWhatIsNoSocketIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link, dir} {
		if _, err := listen.BindUnix(path); err == nil || err.Error() != path+" exists and is not a socket" {
			t.Errorf("%s: error is %v", path, err)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestSocketOfAnotherKindIsKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := listen.BindUnix(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

func TestBindNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join("/tmp", strings.Repeat("x", 103))
	for path, want := range map[string]string{
		file + "/s": "make directory of socket: ",
		long:        "listen on " + long + ": the path has more than the 107 bytes",
	} {
		if _, err := listen.BindUnix(path); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: error is %v", path, err)
		}
	}
	longest := long[:107]
	l, err := listen.BindUnix(longest)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := os.Remove(longest); err != nil {
		t.Error(err)
	}
}
