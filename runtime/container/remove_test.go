package container_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// states are ways to a container to remove.
var states = map[string]func(t *testing.T, n *node) *container.Container{
	"created": func(t *testing.T, n *node) *container.Container { return n.create(t, "server") },
	"running": func(t *testing.T, n *node) *container.Container { return n.start(t, "server") },
	"exited": func(t *testing.T, n *node) *container.Container {
		c := n.start(t, "server")
		n.Tasks.Exit(c.ID, 1)
		synctest.Wait()
		return c
	},
	"exited before a restart": func(t *testing.T, n *node) *container.Container {
		c := n.start(t, "server")
		n.Tasks.Exit(c.ID, 1)
		synctest.Wait()
		return n.restart(t, c)
	},
	"running since before a restart": func(t *testing.T, n *node) *container.Container {
		c := n.restart(t, n.start(t, "server"))
		synctest.Wait()
		return c
	},
}

func TestRemove(t *testing.T) {
	t.Parallel()
	for name, make := range states {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t)
				c := make(t, n)
				n.Calls()
				for range 2 {
					if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				n.leaves(t)
				calls := n.Calls()
				if calls[len(calls)-1] != "Containers.Delete" {
					t.Errorf("order %v: the record is not last", calls)
				}
				if name == "exited" && slices.Contains(calls, "Tasks.Delete") {
					t.Errorf("%v: a task that is gone is asked for", calls)
				}
				if _, err := n.Process.Containers.Get(c.ID); !errdefs.IsNotFound(err) {
					t.Errorf("after the removal: %v", err)
				}
			})
		})
	}
}

// TestRemoveFails lets each step fail once: the record stays to the last, and
// the retry removes all.
func TestRemoveFails(t *testing.T) {
	t.Parallel()
	for name, make := range states {
		var steps []string
		synctest.Test(t, func(t *testing.T) {
			reference := newNode(t)
			c := make(t, reference)
			reference.Calls()
			if err := reference.Process.Containers.Remove(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			steps = reference.Steps()
		})
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachFailure(t, steps, func(t *testing.T, step string, when podtest.When) {
				synctest.Test(t, func(t *testing.T) {
					n := newNode(t)
					c := make(t, n)
					n.Fail(step, when, 1)
					err := n.Process.Containers.Remove(t.Context(), c)
					// A kill, and what follows an exit, are tried again unasked.
					if err != nil && !errors.Is(err, podtest.ErrInjected) {
						t.Fatalf("got %v", err)
					}
					if _, there := n.World.Containers.Get(c.ID); !there && step != "Containers.Delete" && err != nil {
						t.Error("the record is gone before the rest")
					}
					if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					n.leaves(t)
				})
			})
		})
	}
}

// TestTaskDoesNotEnd: the removal does not wait for ever.
func TestTaskDoesNotEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		c := n.start(t, "server")
		n.Tasks.Ignore(unix.SIGKILL)
		begun := time.Now()
		err := n.Process.Containers.Remove(t.Context(), c)
		if !errdefs.IsFailedPrecondition(err) || time.Since(begun) != 3*step {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		if _, ok := n.World.Containers.Get(c.ID); !ok {
			t.Error("the record is gone, and the process runs")
		}
		n.Tasks.Exit(c.ID, 137)
		if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		n.leaves(t)
	})
}

// TestRemovePod: a pod with containers goes, whatever they do.
func TestRemovePod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.create(t, "created")
		n.start(t, "running")
		n.Tasks.Exit(n.start(t, "exited").ID, 1)
		stop := func(ctx context.Context) error { return n.Process.Containers.StopAll(ctx, n.pod.ID) }
		remove := func(ctx context.Context) error { return n.Process.Containers.RemoveAll(ctx, n.pod.ID) }
		if err := n.Pods.Stop(t.Context(), n.pod, stop); err != nil {
			t.Fatal(err)
		}
		for _, c := range n.Process.Containers.OfPod(n.pod.ID) {
			if c.Running() {
				t.Errorf("%s runs in a stopped pod", c.Config.GetMetadata().GetName())
			}
		}
		if err := n.Pods.Remove(t.Context(), n.pod, stop, remove); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if left := n.Leftovers(); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
		if !slices.Contains(n.Calls(), "Network.Detach") {
			t.Error("its network was not taken")
		}
	})
}
