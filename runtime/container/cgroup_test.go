package container_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// cgroup is a real one of a running container, in the machine's own hierarchy.
// limit bounds its memory in bytes, if it is not 0.
func (n *node) cgroup(t *testing.T, name string, limit int) (c *container.Container, dir string) {
	t.Helper()
	sandbox := podtest.Sandbox(name)
	sandbox.Linux.CgroupParent = "/trivet-test-" + name + "-" + strconv.Itoa(os.Getpid())
	var err error
	if n.pod, err = n.Pods.Run(t.Context(), sandbox, ""); err != nil {
		t.Fatal(err)
	}
	c = n.start(t, "server")
	root, file := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	if _, err := os.Stat(root); err != nil {
		root, file = "/sys/fs/cgroup", "memory.max"
	}
	parent := filepath.Join(root, sandbox.Linux.CgroupParent)
	dir = filepath.Join(parent, c.ID)
	if err := os.Mkdir(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(parent); err != nil {
			t.Error(err)
		}
	})
	if file == "memory.max" {
		if err := os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	if limit > 0 {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(strconv.Itoa(limit)), 0); err != nil {
			t.Fatal(err)
		}
	}
	return c, dir
}

// process runs a command in a cgroup. Its shell enters before it is the command.
func process(t *testing.T, dir, command string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", "echo $$ > "+filepath.Join(dir, "cgroup.procs")+" && echo in && exec "+command)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 3)); err != nil {
		t.Fatalf("the process is not in its cgroup: %v", err)
	}
	return cmd
}

// endedBy fails the test unless the process ends by SIGKILL.
func endedBy(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	_ = cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != unix.SIGKILL {
		t.Errorf("the process ended by %v", cmd.ProcessState)
	}
}

// TestCgroupIsKilled: without the shim's help, what is in the container's
// cgroup ends, also in cgroups of its own making.
func TestCgroupIsKilled(t *testing.T) {
	t.Parallel()
	n := newNode(t, func(d *container.Deps) { d.Config.StopTimeout = config.Duration(2 * time.Second) })
	c, dir := n.cgroup(t, "kill", 0)
	below := filepath.Join(dir, "of-its-own")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(below); err != nil {
			t.Error(err)
		}
	})
	victim := process(t, below, "sleep 600")
	n.Tasks.Ignore(unix.SIGKILL)
	stopped := make(chan error, 1)
	go func() { stopped <- n.Process.Containers.Stop(t.Context(), c, 0) }()
	endedBy(t, victim)
	n.Tasks.Exit(c.ID, 137) // as the shim would tell
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	ended(t, c, 137, "Error")
	if c.State().Message != "" {
		t.Errorf("state %+v", c.State())
	}
}

// TestOOMIsCounted: the kernel's own count tells, also without an event.
func TestOOMIsCounted(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c, dir := n.cgroup(t, "oom", 8<<20)
	endedBy(t, process(t, dir, "tail /dev/zero"))
	n.Tasks.Exit(c.ID, 137)
	if err := n.Process.Containers.Stop(t.Context(), c, time.Minute); err != nil {
		t.Fatal(err)
	}
	ended(t, c, 137, "OOMKilled")
}

func TestCountOf(t *testing.T) {
	t.Parallel()
	v1 := "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"
	v2 := "low 0\nhigh 5\nmax 9\noom 3\noom_kill 1\noom_group_kill 7\n"
	for text, want := range map[string]int{
		v1: 2, v2: 1, "": 0, "oom_kill_disable 1\nunder_oom 1\n": 0, "oom_kill": 0, "oom_kill many": 0, "oom_kill 4": 4,
	} {
		if got := container.CountOf(text, "oom_kill"); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// TestForeignCgroups: nothing may be killed that is not in a cgroup of the
// container alone, whatever its record says.
func TestForeignCgroups(t *testing.T) {
	t.Parallel()
	id := ident.New()
	for dir, want := range map[string]bool{
		"/sys/fs/cgroup/memory/kubepods/" + id:                        true,
		"/sys/fs/cgroup/system.slice/cri-containerd-" + id + ".scope": true,
		"/sys/fs/cgroup/memory":                                       false,
		"/sys/fs/cgroup/memory/kubepods":                              false,
		"/sys/fs/cgroup/memory/" + id + "/..":                         false,
		"/sys/fs/cgroup/memory/" + id + "/child":                      false,
		"/sys/fs/cgroup/memory/" + ident.New():                        false,
	} {
		if got := container.IsOwn(dir, id); got != want {
			t.Errorf("%s: %v", dir, got)
		}
	}
	if container.IsOwn("/sys/fs/cgroup", "") {
		t.Error("what has no id owns everything")
	}
}
