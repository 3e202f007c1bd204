package exec_test

import (
	"os"
	osexec "os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/streamer/exec"
)

// TestWiden enlarges the pipes of a process of the container, and of no other.
func TestWiden(t *testing.T) {
	t.Parallel()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = read.Close(); _ = write.Close() }()
	cmd := osexec.Command("/bin/sleep", "1000")
	cmd.Stdout, cmd.Stderr = write, os.Stderr // stdin is no pipe
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	size := func() int {
		n, err := unix.FcntlInt(read.Fd(), unix.F_GETPIPE_SZ, 0)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	normal := size()
	for _, other := range []struct {
		container string
		pid       int
	}{{"in no cgroup's name", cmd.Process.Pid}, {"", 0}, {"", 1}} {
		exec.Widen(other.container, other.pid)
		if size() != normal {
			t.Fatalf("%+v: %d bytes", other, size())
		}
	}
	exec.Widen("", cmd.Process.Pid) // every cgroup's name has nothing in it
	if size() <= normal {
		t.Errorf("%d bytes, as before", size())
	}
	exec.Widen("", cmd.Process.Pid)
}
