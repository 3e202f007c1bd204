package container_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container"
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
