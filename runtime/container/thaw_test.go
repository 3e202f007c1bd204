package container_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trivet-cri/trivet/runtime/checkpoint"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

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
