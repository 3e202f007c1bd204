package container_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/checkpoint"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// capture is c as a checkpoint takes it.
func capture(c *container.Container) container.Capture {
	return container.Capture{Container: c, Status: &runtimeapi.ContainerStatus{
		Id: c.ID, Metadata: c.Config.GetMetadata(), Image: c.Config.GetImage(), ImageRef: c.ImageRef,
	}}
}

// archive writes one of c and returns its path.
func (n *node) archive(t *testing.T, c *container.Container) string {
	t.Helper()
	location := filepath.Join(t.TempDir(), "c.tar")
	if err := n.Process.Containers.Checkpoint(t.Context(), capture(c), location, 0); err != nil {
		t.Fatal(err)
	}
	return location
}

func fromArchive(path string) func(*runtimeapi.ContainerConfig) {
	return func(c *runtimeapi.ContainerConfig) { c.Image.Image = path }
}

// TestCheckpoint: dump and diff are of one freeze, the container goes on, and
// nothing is left beside the archive.
func TestCheckpoint(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.start(t, "server")
	n.Calls()
	location := n.archive(t, c)
	var order []string
	for _, call := range n.Calls() {
		if strings.HasPrefix(call, "Tasks.") || call == "Snapshots.Diff" {
			order = append(order, call)
		}
	}
	if want := []string{"Tasks.Pause", "Tasks.Checkpoint", "Snapshots.Diff", "Tasks.Resume"}; !slices.Equal(order, want) {
		t.Errorf("the order is %q", order)
	}
	if info, err := os.Stat(location); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("archive: %v, %v", info, err)
	}
	if !c.Running() || n.Checkpoints.Frozen() != 0 {
		t.Errorf("state %+v, frozen %d", c.State(), n.Checkpoints.Frozen())
	}
	n.leaves(t, "container", "snapshot", "volumes", "mark", "task", "streams")
}

// TestCheckpointFails: whatever fails, the container goes on, nothing is left
// and the next checkpoint works.
func TestCheckpointFails(t *testing.T) {
	t.Parallel()
	reference := newNode(t)
	c := reference.start(t, "server")
	reference.Calls()
	reference.archive(t, c)
	steps := slices.DeleteFunc(reference.Steps(), func(s string) bool { return s == "Tasks.Resume" })
	eachFailure(t, steps, func(t *testing.T, step string, when podtest.When) {
		n := newNode(t)
		c := n.start(t, "server")
		n.Fail(step, when, 1)
		dir := t.TempDir()
		injected(t, n.Process.Containers.Checkpoint(t.Context(), capture(c), filepath.Join(dir, "c.tar"), 0))
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
		if !c.Running() || n.Checkpoints.Frozen() != 0 {
			t.Errorf("state %+v, frozen %d", c.State(), n.Checkpoints.Frozen())
		}
		n.leaves(t, "container", "snapshot", "volumes", "mark", "task", "streams")
		n.archive(t, c)
	})
}

// TestThawFails: a container that cannot be thawed is thawed later.
func TestThawFails(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.start(t, "server")
	n.Fail("Tasks.Resume", podtest.Before, 2)
	injected(t, n.Process.Containers.Checkpoint(t.Context(), capture(c), filepath.Join(t.TempDir(), "c.tar"), 0))
	for n.Checkpoints.Frozen() != 0 || len(n.noted()) > 0 {
		if t.Context().Err() != nil {
			t.Fatal("it stays frozen")
		}
		time.Sleep(time.Millisecond)
	}
}

// TestThawHangs: a shim that does not answer keeps no other container frozen,
// of the same checkpoint or of another.
func TestThawHangs(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	containers := []*container.Container{n.start(t, "one"), n.start(t, "two"), n.start(t, "three")}
	for _, c := range containers {
		if err := n.Checkpoints.PauseTask(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
	}
	for name, note := range map[string]string{
		"a.json": fmt.Sprintf(`{"containers":[%q,%q]}`, containers[0].ID, containers[1].ID),
		"b.json": fmt.Sprintf(`{"containers":[%q]}`, containers[2].ID),
	} {
		if err := os.WriteFile(filepath.Join(n.JournalDir(), name), []byte(note), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	gate := make(chan struct{})
	var hung atomic.Bool
	n.On("Tasks.Resume", podtest.Before, func(context.Context) error {
		if hung.CompareAndSwap(false, true) {
			<-gate
		}
		return nil
	})
	n.restart(t, containers[0])
	for n.Checkpoints.Frozen() != 1 {
		time.Sleep(time.Millisecond)
	}
	close(gate)
	for n.Checkpoints.Frozen() != 0 || len(n.noted()) > 0 {
		time.Sleep(time.Millisecond)
	}
}

// noted are the notes of checkpoints under way.
func (n *node) noted() []string {
	return slices.DeleteFunc(n.OfContainers(), func(one string) bool { return !strings.HasPrefix(one, "note ") })
}

// TestCheckpointCutShort: the successor of a process that was killed amid a
// checkpoint thaws and clears.
func TestCheckpointCutShort(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.start(t, "server")
	partial := filepath.Join(t.TempDir(), ".c.tar.partial")
	if err := os.WriteFile(partial, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.Checkpoints.PauseTask(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	note := fmt.Sprintf(`{"containers":[%q],"remove":[%q]}`, c.ID, partial)
	if err := os.WriteFile(filepath.Join(n.JournalDir(), "x.json"), []byte(note), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(n.CheckpointDir(), "work", "half"), 0o700); err != nil {
		t.Fatal(err)
	}
	n.Fail("Tasks.Resume", podtest.Before, 1) // containerd is not there yet
	c = n.restart(t, c)
	for n.Checkpoints.Frozen() != 0 || len(n.noted()) > 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := os.Stat(partial); err == nil {
		t.Error("half an archive is left")
	}
	n.leaves(t, "container", "snapshot", "volumes", "mark", "task", "streams")
	if !c.Running() {
		t.Errorf("state %+v", c.State())
	}
}

// TestCheckpointCutShortByReboot: half an archive goes also then.
func TestCheckpointCutShortByReboot(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.start(t, "server")
	partial := filepath.Join(t.TempDir(), ".c.tar.partial")
	if err := os.WriteFile(partial, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Process.Containers.Journal().Begin(checkpoint.Entry{Containers: []string{c.ID}, Remove: []string{partial}}); err != nil {
		t.Fatal(err)
	}
	if err := n.Reboot(); err != nil {
		t.Fatal(err)
	}
	n.restart(t, c)
	for len(n.noted()) > 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := os.Stat(partial); err == nil {
		t.Error("half an archive is left")
	}
}

func TestCheckpointRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	made, runs := n.create(t, "made"), n.start(t, "runs")
	dir := t.TempDir()
	for name, c := range map[string]struct {
		one      *container.Container
		location string
		kind     func(error) bool
	}{
		"not running":     {made, filepath.Join(dir, "c.tar"), errdefs.IsFailedPrecondition},
		"relative":        {runs, "c.tar", errdefs.IsInvalidArgument},
		"not clean":       {runs, dir + "/../c.tar", errdefs.IsInvalidArgument},
		"no directory":    {runs, filepath.Join(dir, "none", "c.tar"), errdefs.IsInvalidArgument},
		"is a directory":  {runs, dir, errdefs.IsInvalidArgument},
		"below no folder": {runs, "/dev/null/c.tar", errdefs.IsInvalidArgument},
	} {
		if err := n.Process.Containers.Checkpoint(t.Context(), capture(c.one), c.location, 0); !c.kind(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	n.On("CRIU.Check", podtest.Before, func(context.Context) error { return errdefs.ErrNotImplemented })
	if err := n.Process.Containers.Checkpoint(t.Context(), capture(runs), filepath.Join(dir, "c.tar"), 0); !errdefs.IsNotImplemented(err) {
		t.Errorf("without CRIU: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestCheckpointEnds: the call's end, its limit and the container's stop end a
// checkpoint, and thaw.
func TestCheckpointEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(n *node, c *container.Container, cancel context.CancelFunc) error{
		"client gives up": func(_ *node, _ *container.Container, cancel context.CancelFunc) error {
			cancel()
			return context.Canceled
		},
		"container stops": func(n *node, c *container.Container, _ context.CancelFunc) error {
			return errors.Join(n.Process.Containers.Stop(context.Background(), c, 0), errdefs.ErrAborted)
		},
		"container is removed": func(n *node, c *container.Container, _ context.CancelFunc) error {
			return errors.Join(n.Process.Containers.Remove(context.Background(), c), errdefs.ErrAborted)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			c := n.start(t, "server")
			entered, release := n.Hold("Tasks.Checkpoint")
			defer release()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() {
				ended <- n.Process.Containers.Checkpoint(ctx, capture(c), filepath.Join(t.TempDir(), "c.tar"), 0)
			}()
			<-entered
			if running := n.Process.Containers.Running(); len(running) != 1 || running[0].Stage != "dump server" {
				t.Errorf("operations: %+v", running)
			}
			want := end(n, c, cancel)
			if err := <-ended; err == nil || !errors.Is(want, context.Canceled) && !errdefs.IsAborted(err) || errors.Is(want, context.Canceled) && !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %v", err, want)
			}
			if n.Checkpoints.Frozen() != 0 || len(n.noted()) > 0 {
				t.Errorf("frozen %d, notes %v", n.Checkpoints.Frozen(), n.noted())
			}
		})
	}
}

// TestCheckpointDuringStop: a checkpoint that begins while a container has its
// grace does not keep it from being killed afterwards.
func TestCheckpointDuringStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		c := n.start(t, "server")
		n.Tasks.Ignore(unix.SIGTERM)
		begun, stopped, taken := time.Now(), make(chan error, 1), make(chan error, 1)
		go func() { stopped <- n.Process.Containers.Stop(t.Context(), c, 10*time.Second) }()
		synctest.Wait()
		entered, release := n.Hold("Tasks.Checkpoint")
		defer release()
		go func() {
			taken <- n.Process.Containers.Checkpoint(t.Context(), capture(c), filepath.Join(t.TempDir(), "c.tar"), 0)
		}()
		<-entered
		if err := <-stopped; err != nil || time.Since(begun) != 10*time.Second {
			t.Errorf("stopped after %s: %v", time.Since(begun), err)
		}
		if err := <-taken; !errdefs.IsAborted(err) {
			t.Errorf("the checkpoint: %v", err)
		}
		ended(t, c, 137, "Error")
	})
}

// TestRestore: a container of an archive starts where the other one was, also
// after the process was restarted in between.
func TestRestore(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	old := n.start(t, "server")
	pid := old.State().PID
	location := n.archive(t, old)
	c := n.create(t, "again", fromArchive(location))
	if c.State().Phase != created || c.ImageID != old.ImageID || c.ImageRef != old.ImageRef || c.LogPath == old.LogPath {
		t.Errorf("container %+v", c)
	}
	record, _ := n.World.Containers.Get(c.ID)
	if record.Image != containertest.Image || record.Record.GetCheckpoint() != location {
		t.Errorf("record %+v", record)
	}
	if same, err := n.Process.Containers.Create(t.Context(), n.pod, c.Config); err != nil || same != c {
		t.Errorf("once more: %v, %v", same, err)
	}
	if err := os.Remove(location); err != nil { // it is not needed any more
		t.Fatal(err)
	}
	c = n.restart(t, c)
	if err := n.Process.Containers.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.Process.Containers.Start(t.Context(), c, n.pod); err != nil {
		t.Fatal(err)
	}
	if task, _ := n.Tasks.Find(c.ID); !task.Restored || c.State().PID != pid {
		t.Errorf("task %+v, state %+v", task, c.State())
	}
	if got := n.Checkpoints.Applied(c.ID).Files["changed"]; got != old.ID {
		t.Errorf("the file system has %q", got)
	}
	if left, err := os.ReadDir(filepath.Join(n.CheckpointDir(), "restore")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
		t.Error(err)
	}
}

// TestRestoreFails: a failed creation leaves nothing; a failed start is an
// exit, and the removal leaves nothing.
func TestRestoreFails(t *testing.T) {
	t.Parallel()
	reference := newNode(t)
	location := reference.archive(t, reference.start(t, "server"))
	reference.Calls()
	c := reference.create(t, "again", fromArchive(location))
	creation := reference.Steps()
	if err := reference.Process.Containers.Start(t.Context(), c, reference.pod); err != nil {
		t.Fatal(err)
	}
	start := slices.DeleteFunc(reference.Steps(), func(s string) bool { return s == "Containers.Update" })
	for _, want := range []string{"CRIU.Check", "Snapshots.Apply", "Tasks.Restore", "Tasks.Start"} {
		if !slices.Contains(start, want) {
			t.Errorf("%s is no step of %q", want, start)
		}
	}
	eachFailure(t, creation, func(t *testing.T, step string, when podtest.When) {
		n := newNode(t)
		n.Fail(step, when, 1)
		cfg := containertest.Config("again")
		cfg.Image.Image = location
		_, err := n.Process.Containers.Create(t.Context(), n.pod, cfg)
		injected(t, err)
		n.leaves(t)
	})
	eachFailure(t, start, func(t *testing.T, step string, when podtest.When) {
		n := newNode(t)
		c := n.create(t, "again", fromArchive(location))
		n.Fail(step, when, 1)
		injected(t, n.Process.Containers.Start(t.Context(), c, n.pod))
		ended(t, c, 128, "StartError")
		if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
			t.Error(err)
		}
		n.leaves(t)
	})
}

// TestRestoreRefuses: what the checkpoint was made with must be there.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	mounted := t.TempDir()
	location := n.archive(t, n.start(t, "server", func(c *runtimeapi.ContainerConfig) {
		c.Mounts = []*runtimeapi.Mount{{HostPath: mounted, ContainerPath: "/mounted"}}
	}))
	for name, c := range map[string]struct {
		edit func(*runtimeapi.ContainerConfig)
		says string
	}{
		"mount":      {func(*runtimeapi.ContainerConfig) {}, "nothing is mounted at \"/mounted\""},
		"terminal":   {func(c *runtimeapi.ContainerConfig) { c.Tty = true }, "config.tty is true"},
		"no archive": {func(c *runtimeapi.ContainerConfig) { c.Image.Image = "/no/such.tar" }, "not found"},
	} {
		cfg := containertest.Config(name)
		cfg.Image.Image = location
		c.edit(cfg)
		if _, err := n.Process.Containers.Create(t.Context(), n.pod, cfg); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q", name, err, c.says)
		}
	}
	if left, err := os.ReadDir(filepath.Join(n.CheckpointDir(), "restore")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
