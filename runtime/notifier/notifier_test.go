package notifier_test

import (
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/runtime/notifier"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const never = time.Hour

// open returns notifiers, and whom they want killed.
func open(t *testing.T, dir string, grace time.Duration) (*notifier.Notifiers, <-chan string) {
	t.Helper()
	killed := make(chan string, 8)
	n, err := notifier.New(dir, grace, func(id string) { killed <- id }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Shut)
	return n, killed
}

// shortDir has room for the path of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "seccomp") //nolint:usetesting // with the test's name a socket's path is too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// caller is a thread whose filter tells of swapoff.
type caller struct {
	asks    chan bool
	answers chan unix.Errno
}

// filter makes a thread with the filter, and returns the kernel's descriptor.
func filter(t *testing.T) (*caller, int) {
	t.Helper()
	c := &caller{asks: make(chan bool), answers: make(chan unix.Errno)}
	made := make(chan int)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		program := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SWAPOFF, Jf: 1},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		}
		f := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
		fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&f)))
		if errno != 0 {
			made <- -int(errno)
			return
		}
		made <- int(fd)
		for range c.asks {
			_, _, errno := unix.Syscall(unix.SYS_SWAPOFF, 0, 0, 0)
			c.answers <- errno
		}
	}()
	fd := <-made
	if fd < 0 {
		t.Fatalf("set a filter: %v", unix.Errno(-fd))
	}
	t.Cleanup(func() { close(c.asks) })
	return c, fd
}

func (c *caller) swapoff(t *testing.T) {
	t.Helper()
	c.asks <- true
	if errno := <-c.answers; errno != unix.ENOSYS {
		t.Errorf("swapoff is answered with %v", errno)
	}
}

// hand gives descriptors to a container's socket, as an OCI runtime does.
func hand(t *testing.T, socket string, text []byte, fds ...int) {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, _, err := conn.WriteMsgUnix(text, unix.UnixRights(fds...), nil); err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

func state(t *testing.T, names ...string) []byte {
	t.Helper()
	return stateOf(t, 0, names...) // nobody
}

func stateOf(t *testing.T, pid int, names ...string) []byte {
	t.Helper()
	text, err := json.Marshal(specs.ContainerProcessState{
		Version: specs.Version, Fds: names, Pid: pid,
		// More than goes into one message.
		State: specs.State{Annotations: map[string]string{"long": strings.Repeat("x", 100<<10)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestStop(t *testing.T) {
	t.Parallel()
	dir, id := shortDir(t), ident.New()
	n, killed := open(t, dir, 50*time.Millisecond)
	if err := n.Open(id, true); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(n.Path(id)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket is %v, %v", info, err)
	}
	thread, fd := filter(t)
	null, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	hand(t, n.Path(id), state(t, "other", specs.SeccompFdName), null, fd)
	thread.swapoff(t)
	thread.swapoff(t)
	if got := <-killed; got != id {
		t.Errorf("killed is %s", got)
	}
	if r := n.Report(id); r.String() != "swapoff (2x)" || !r.Killed {
		t.Errorf("report is %s, killed %t", r, r.Killed)
	}
	if err := n.Close(id); err != nil {
		t.Error(err)
	}
	thread.swapoff(t) // the kernel answers
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	if err := n.Close(id); err != nil {
		t.Errorf("again: %v", err)
	}
}

// TestRestart: what was used is known afterwards, and the container is killed
// for it by the next process.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir, id, quiet := shortDir(t), ident.New(), ident.New()
	first, _ := open(t, dir, never)
	for one, stop := range map[string]bool{id: true, quiet: false} {
		if err := first.Open(one, stop); err != nil {
			t.Fatal(err)
		}
		thread, fd := filter(t)
		hand(t, first.Path(one), state(t, specs.SeccompFdName), fd)
		thread.swapoff(t)
		await(t, "a note", func() bool {
			text, _ := os.ReadFile(filepath.Join(dir, one))
			return strings.Contains(string(text), "swapoff")
		})
	}
	first.Shut()
	second, killed := open(t, dir, 50*time.Millisecond)
	if ids, err := second.List(); err != nil || len(ids) != 2 {
		t.Errorf("kept are %v, %v", ids, err)
	}
	for _, one := range []string{id, quiet, ident.New()} {
		if err := second.Resume(one); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-killed; got != id {
		t.Errorf("killed is %s", got)
	}
	// New processes are heard of.
	thread, fd := filter(t)
	hand(t, second.Path(quiet), state(t, specs.SeccompFdName), fd)
	thread.swapoff(t)
	if r := second.Report(quiet); r.String() != "swapoff (2x)" || r.Killed {
		t.Errorf("report is %s, killed %t", r, r.Killed)
	}
	if r := second.Report(id); !r.Killed {
		t.Error("the kill is not reported")
	}
}

// TestBadHandover: what is no handover ends its connection, and no other.
func TestBadHandover(t *testing.T) {
	t.Parallel()
	id := ident.New()
	n, _ := open(t, shortDir(t), never)
	if err := n.Open(id, false); err != nil {
		t.Fatal(err)
	}
	null := func() int {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	hand(t, n.Path(id), []byte("{"), null())
	hand(t, n.Path(id), state(t, specs.SeccompFdName))
	hand(t, n.Path(id), state(t, "other"), null())
	hand(t, n.Path(id), state(t, specs.SeccompFdName), null()) // no descriptor of seccomp's
	hand(t, n.Path(id), state(t, specs.SeccompFdName, specs.SeccompFdName), null(), null())
	thread, fd := filter(t)
	hand(t, n.Path(id), state(t, specs.SeccompFdName), fd)
	thread.swapoff(t)
	if r := n.Report(id); r.String() != "swapoff (1x)" {
		t.Errorf("report is %s", r)
	}
}

// TestRuntimesOwn: what the OCI runtime tries itself, before it executes the
// container's program, is forbidden but not the container's.
func TestRuntimesOwn(t *testing.T) {
	t.Parallel()
	id := ident.New()
	n, _ := open(t, shortDir(t), never)
	if err := n.Open(id, true); err != nil {
		t.Fatal(err)
	}
	thread, fd := filter(t)
	hand(t, n.Path(id), stateOf(t, os.Getpid(), specs.SeccompFdName), fd)
	thread.swapoff(t)
	if r := n.Report(id); len(r.Used) > 0 {
		t.Errorf("report is %s", r)
	}
}

// FuzzHandover: whatever comes over the socket, the next handover is heard.
func FuzzHandover(f *testing.F) {
	for _, seed := range []string{`{}`, `{"fds":["seccompFd"],"pid":1}`, `{"fds":["seccompFd","seccompFd"]}`, `{"fds":["x"],"pid":-1}`, `{"fds":null`, ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		id := ident.New()
		n, _ := open(t, shortDir(t), never)
		if err := n.Open(id, false); err != nil {
			t.Fatal(err)
		}
		null, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 0 {
			hand(t, n.Path(id), text, null)
		} else {
			_ = unix.Close(null)
		}
		thread, fd := filter(t)
		hand(t, n.Path(id), state(t, specs.SeccompFdName), fd)
		thread.swapoff(t)
		if r := n.Report(id); r.String() != "swapoff (1x)" {
			t.Errorf("report is %s", r)
		}
	})
}
