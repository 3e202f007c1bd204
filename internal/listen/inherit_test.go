package listen_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/listen"
)

// role makes the test binary the child that inherits.
const role = "TRIVET_TEST_LISTEN"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "serve":
		serve()
	case "tell":
		tell()
	}
}

// serve answers one connection of each of two listeners with its name, and
// then tells about the environment and the descriptors of its own child.
func serve() {
	inherited := listen.FromParent()
	for _, name := range []string{"a", "b"} {
		l, err := inherited.Unix(name, "/nonexistent/never-bound")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		c, err := l.Accept()
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		_, _ = io.WriteString(c, name)
		_ = c.Close()
		_ = l.Close()
	}
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), role+"=tell")
	child.Stdout = os.Stdout
	if err := child.Run(); err != nil {
		fmt.Println(err)
	}
}

// tell prints what a process of today's children must not see.
func tell() {
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "LISTEN_") {
			fmt.Println("variable", variable)
		}
	}
	open, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range open {
		if target, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(target, "socket:") {
			fmt.Println("socket", fd.Name(), target)
		}
	}
}

func TestInheritedListenersByName(t *testing.T) {
	t.Parallel()
	for name, announce := range map[string][]string{
		"of a launcher, which does not know the pid": {"LISTEN_FDS=3", "LISTEN_FDNAMES=b:a:spare"},
		"with more variables than are known":         {"LISTEN_FDS=3", "LISTEN_FDNAMES=b:a:spare", "LISTEN_PIDFDID=7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			child := exec.CommandContext(t.Context(), "/proc/self/exe")
			child.Env = append(os.Environ(), slices.Concat(announce, []string{role + "=serve"})...)
			for _, name := range []string{"b", "a", "spare"} {
				l, err := listen.BindUnix(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				f, err := l.(*net.UnixListener).File()
				if err != nil {
					t.Fatal(err)
				}
				_ = l.Close()
				t.Cleanup(func() { _ = f.Close() })
				child.ExtraFiles = append(child.ExtraFiles, f)
			}
			out := new(strings.Builder)
			child.Stdout = out
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			// The order of the child, which is not that of the descriptors.
			for _, name := range []string{"a", "b"} { // waits in the backlog until it is served
				if got := answer(t, filepath.Join(dir, name)); got != name {
					t.Errorf("listener %q answered as %q", name, got)
				}
			}
			if err := child.Wait(); err != nil || out.String() != "" {
				t.Errorf("child: %v, and its own child sees %q", err, out)
			}
			if _, err := os.Lstat(filepath.Join(dir, "a")); err != nil {
				t.Errorf("the socket file of the parent is gone: %v", err)
			}
		})
	}
}

// answer connects and reads to the end.
func answer(t *testing.T, path string) string {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	text, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// An announcement for another process is not taken, and not passed on either.
func TestAnnouncementForAnotherProcess(t *testing.T) {
	t.Setenv("LISTEN_FDS", "1")
	t.Setenv("LISTEN_FDNAMES", "a")
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_PIDFDID", "1")
	if inherited := listen.FromParent(); len(inherited) != 0 {
		t.Errorf("inherited %v", inherited)
	}
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "LISTEN_") {
			t.Errorf("%s is left", variable)
		}
	}
}

func TestWithoutInheritedListenerBinds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l, err := listen.Inherited{}.Unix("cri", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if got := l.Addr().String(); got != path {
		t.Errorf("listens on %s", got)
	}
	tcp, err := listen.Inherited{}.TCP("stream", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tcp.Close() }()
	_, err = listen.Inherited{}.TCP("stream", tcp.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "listen on "+tcp.Addr().String()+": ") {
		t.Errorf("a port that is taken: %v", err)
	}
}

// A name is used once: who asks again binds, and a second file of the name is
// not left open. Not parallel: see TestStaleSocketIsReplaced.
func TestInheritedListenerIsTakenOnce(t *testing.T) {
	dir := t.TempDir()
	first, second := listenerFile(t, filepath.Join(dir, "1")), listenerFile(t, filepath.Join(dir, "2"))
	inherited := listen.Inherited{"cri": {first, second}}
	l, err := inherited.Unix("cri", filepath.Join(dir, "bound"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if l.Addr().String() != filepath.Join(dir, "1") {
		t.Errorf("took %s", l.Addr())
	}
	if _, err := net.Dial("unix", filepath.Join(dir, "2")); err == nil {
		t.Error("the second file is still open")
	}
	again, err := inherited.Unix("cri", filepath.Join(dir, "bound"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if again.Addr().String() != filepath.Join(dir, "bound") {
		t.Errorf("bound %s", again.Addr())
	}
}

func listenerFile(t *testing.T, path string) *os.File {
	t.Helper()
	l, err := listen.BindUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	f, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestInheritedFileThatIsNoListener(t *testing.T) {
	t.Parallel()
	fd, err := unix.MemfdCreate("no-socket", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	inherited := listen.Inherited{"cri": {os.NewFile(uintptr(fd), "cri")}}
	if _, err := inherited.Unix("cri", "/nonexistent"); err == nil || !strings.Contains(err.Error(), `inherited listener "cri"`) {
		t.Errorf("error is %v", err)
	}
}
