package exec_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/streamer/engine"
	"github.com/trivet-cri/trivet/streamer/exec"
)

// orphan plays a streamer that was killed while a command ran: its directory
// is there and unlocked.
func orphan(t *testing.T, fake *fakeContainerd, dir string) engine.Process {
	t.Helper()
	p := engine.Process{Container: container, ID: "trivet-exec-00ff"}
	path := filepath.Join(dir, "dead", p.Container+"."+p.ID)
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := fake.Exec(t.Context(), p, engine.Command{Args: []string{"/bin/sleep", "1000"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := fake.Start(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSuccessorRemovesOrphans(t *testing.T) {
	t.Parallel()
	fake, dir := newFake(), t.TempDir()
	orphan(t, fake, dir)
	if err := os.MkdirAll(filepath.Join(dir, "dead", "spare", "1"), 0o700); err != nil {
		t.Fatal(err)
	}
	f := startOn(t, fake, dir, limits)
	f.clean(t)
	eventually(t, "directory of the dead removed", func() error {
		if _, err := os.Stat(filepath.Join(dir, "dead")); err == nil {
			return fmt.Errorf("it is there")
		}
		return nil
	})
}

// TestLivingPredecessorKeepsItsCommands: two streamers at once, as in a
// hand-over.
func TestLivingPredecessorKeepsItsCommands(t *testing.T) {
	t.Parallel()
	fake, dir := newFake(), t.TempDir()
	old := startOn(t, fake, dir, limits)
	up, result := make(chan struct{}), make(chan error, 1)
	go func() {
		code, err := old.Stream(t.Context(), execRequest(shell("echo up; sleep 0.5; exit 8")...), exec.Streams{Stdout: onWrite(func() { close(up) })})
		if err == nil && code != 8 {
			err = fmt.Errorf("exit code %d", code)
		}
		result <- err
	}()
	<-up
	successor := startOn(t, fake, dir, limits)
	// The sweep has run when the orphan, which comes later in the order of names, has gone.
	if _, err := successor.Sync(t.Context(), syncRequest(0, "/bin/true")); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
	old.clean(t)
}

func TestForeignDirectoriesStay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	foreign := filepath.Join(dir, "dead", "not.ours")
	if err := os.MkdirAll(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	fake := newFake()
	orphan(t, fake, dir)
	startOn(t, fake, dir, limits)
	eventually(t, "orphan removed", func() error {
		if fake.count() > 0 {
			return fmt.Errorf("it is there")
		}
		return nil
	})
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
}

// TestPredecessorDiesLater: one that drains is looked at again and again.
func TestPredecessorDiesLater(t *testing.T) {
	t.Parallel()
	fake, dir := newFake(), t.TempDir()
	p := orphan(t, fake, dir)
	lock, err := os.Open(filepath.Join(dir, "dead"))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	f := startOn(t, fake, dir, limits)
	if _, err := f.Sync(t.Context(), syncRequest(0, "/bin/true")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "dead", p.Container+"."+p.ID)); err != nil {
		t.Error(err)
	}
	_ = lock.Close()
	f.clean(t)
}
