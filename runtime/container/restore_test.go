package container_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

func fromArchive(path string) func(*runtimeapi.ContainerConfig) {
	return func(c *runtimeapi.ContainerConfig) { c.Image.Image = path }
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
