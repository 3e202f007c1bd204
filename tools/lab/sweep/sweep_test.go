package sweep_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/tools/lab/sweep"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func family(t *testing.T) *sweep.Family {
	t.Helper()
	f, err := sweep.NewFamily()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// orphan starts a process that leaves its parent and its session, as shims
// do, and returns its id.
func orphan(t *testing.T, f *sweep.Family) int {
	t.Helper()
	out, err := f.Output(t.Context(), "/bin/sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func alive(pid int) bool { return unix.Kill(pid, 0) == nil }

func TestKillFindsOrphans(t *testing.T) {
	f := family(t)
	pid := orphan(t, f)
	if !alive(pid) {
		t.Fatal("the orphan does not run")
	}
	if _, err := f.Kill(t.Context(), "/trivet-lab-test-none"); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Error("the orphan is alive, or nobody has waited for it")
	}
}

func TestKillSparesChildrenThatSomebodyWaitsFor(t *testing.T) {
	f := family(t)
	cmd := exec.CommandContext(t.Context(), "cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Kill(t.Context(), "/trivet-lab-test-none"); err != nil {
		t.Fatal(err)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Wait(cmd); err != nil {
		t.Errorf("the child: %v", err)
	}
}

func TestReapTakesTheDeadOnly(t *testing.T) {
	f := family(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { f.Reap(ctx); close(ended) }()
	pid := orphan(t, f)
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); alive(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody has waited for the orphan")
		}
	}
	// Children of our own keep their exit status.
	for range 50 {
		if _, err := f.Output(ctx, "true"); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	<-ended
}

func TestOutputOfAFailure(t *testing.T) {
	f := family(t)
	_, err := f.Output(t.Context(), "/bin/sh", "-c", "echo no such thing >&2; exit 4")
	if err == nil || !strings.Contains(err.Error(), "no such thing") || !strings.Contains(err.Error(), "exit status 4") {
		t.Errorf("error is %v", err)
	}
}

func TestCgroup(t *testing.T) {
	f := family(t)
	name := "/trivet-lab-test-" + strconv.Itoa(os.Getpid())
	dirs, err := sweep.MakeCgroup(filepath.Join(name, "daemons"))
	if err != nil {
		t.Fatal(err)
	}
	pid := orphan(t, f)
	if err := os.WriteFile(filepath.Join(dirs[0], "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	paths, err := f.Kill(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(paths, " "), name+"/daemons") {
		t.Errorf("the cgroups were %q", paths)
	}
	if err := sweep.RemoveCgroup(name); err != nil {
		t.Fatal(err)
	}
	for _, hierarchy := range sweep.Hierarchies() {
		if _, err := os.Stat(filepath.Join(hierarchy, name)); err == nil {
			t.Errorf("%s is still in %s", name, hierarchy)
		}
	}
}

func TestRemoveEmptyStopsAtWhatIsInUse(t *testing.T) {
	name := "/trivet-lab-test-empty-" + strconv.Itoa(os.Getpid())
	for _, path := range []string{name + "/a/b", name + "/c"} {
		if _, err := sweep.MakeCgroup(path); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := sweep.RemoveCgroup(name); err != nil {
			t.Error(err)
		}
	})
	sweep.RemoveEmpty(name + "/a/b")
	found := make(map[string]bool)
	for _, hierarchy := range sweep.Hierarchies() {
		for _, path := range []string{"/a", "/c"} {
			if _, err := os.Stat(filepath.Join(hierarchy, name+path)); err == nil {
				found[path] = true
			}
		}
	}
	if found["/a"] || !found["/c"] {
		t.Errorf("left is %v", found)
	}
}

func TestUnmount(t *testing.T) {
	dir := t.TempDir()
	mount := func(path string) {
		t.Helper()
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", path, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
	}
	mount(filepath.Join(dir, "a"))
	mount(filepath.Join(dir, "a", "b"))
	mount(filepath.Join(dir, "a")) // covers both
	if err := sweep.Unmount(dir); err != nil {
		t.Fatal(err)
	}
	if mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir)); err != nil || len(mounts) > 0 {
		t.Errorf("%d mounts are left: %v", len(mounts), err)
	}
	if err := sweep.Unmount(filepath.Join(dir, "none")); err != nil {
		t.Errorf("a directory that is not there: %v", err)
	}
}
