package container_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

const mib = 1 << 20

func limits(memory, shares int64) *runtimeapi.LinuxContainerResources {
	return &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: memory, CpuShares: shares}
}

// limited makes an edit of a configuration.
func limited(r *runtimeapi.LinuxContainerResources) func(*runtimeapi.ContainerConfig) {
	return func(cfg *runtimeapi.ContainerConfig) { cfg.Linux.Resources = r }
}

func (n *node) update(t *testing.T, c *container.Container, r *runtimeapi.LinuxContainerResources) {
	t.Helper()
	if err := n.Process.Containers.Update(t.Context(), c, r, nil); err != nil {
		t.Fatal(err)
	}
}

// has fails the test unless status and record both tell these limits.
func (n *node) has(t *testing.T, c *container.Container, memory, shares int64) {
	t.Helper()
	if r := c.Resources(); r.GetMemoryLimitInBytes() != memory || r.GetCpuShares() != shares {
		t.Errorf("status tells %v, want memory %d and shares %d", r, memory, shares)
	}
	kept, _ := n.World.Containers.Get(c.ID)
	if r := kept.Spec.Linux.Resources; *r.Memory.Limit != memory || int64(*r.CPU.Shares) != shares {
		t.Errorf("spec has memory %d and shares %d, want %d and %d", *r.Memory.Limit, *r.CPU.Shares, memory, shares)
	}
}

func (n *node) updates(t *testing.T, c *container.Container) []*specs.LinuxResources {
	t.Helper()
	task, ok := n.Tasks.Find(c.ID)
	if !ok {
		t.Fatal("there is no task")
	}
	var all []*specs.LinuxResources
	for _, u := range task.Updates {
		all = append(all, u.Resources)
	}
	return all
}

func TestUpdateCreated(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.create(t, "app", limited(limits(8*mib, 512)))
	n.has(t, c, 8*mib, 512)
	n.update(t, c, limits(16*mib, 0))
	n.has(t, c, 16*mib, 512)
	if n.Called("Tasks.Update") != 0 {
		t.Error("the task of a container without one was updated")
	}
	c = n.restart(t, c)
	n.has(t, c, 16*mib, 512)
	// The creation's own retry still finds it.
	if again := n.create(t, "app", limited(limits(8*mib, 512))); again.ID != c.ID {
		t.Error("a retried creation made another container")
	}
	if err := n.Process.Containers.Start(t.Context(), c, n.pod); err != nil {
		t.Fatal(err)
	}
	n.has(t, c, 16*mib, 512)
}

func TestUpdateRunning(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.start(t, "app", limited(limits(8*mib, 512)))
	n.update(t, c, limits(0, 1000))
	n.has(t, c, 8*mib, 1000)
	updates := n.updates(t, c)
	if len(updates) != 1 || *updates[0].CPU.Shares != 1000 || *updates[0].Memory.Limit != 8*mib || updates[0].Devices != nil {
		t.Fatalf("the task was updated by %+v", updates)
	}
	c = n.restart(t, c)
	n.has(t, c, 8*mib, 1000)
	n.update(t, c, limits(4*mib, 0))
	n.has(t, c, 4*mib, 1000)
}

func TestUpdateRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	refused := func(c *container.Container, r *runtimeapi.LinuxContainerResources, kind error, say string) {
		t.Helper()
		err := n.Process.Containers.Update(t.Context(), c, r, nil)
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), say) {
			t.Errorf("got %v, want %v with %q", err, kind, say)
		}
	}
	c := n.start(t, "app", limited(limits(8*mib, 512)))
	refused(c, limits(0, -3), errdefs.ErrInvalidArgument, "linux.resources.cpu_shares -3")
	n.has(t, c, 8*mib, 512)
	if len(n.updates(t, c)) != 0 {
		t.Error("a refused update reached the task")
	}
	c.Handler.ContainerMinMemory = 6 * mib
	refused(c, limits(5*mib, 0), errdefs.ErrInvalidArgument, "linux.resources.memory_limit_in_bytes 5242880 is below the handler's container_min_memory, 6MiB")
	n.has(t, c, 8*mib, 512)
	n.Tasks.Mute(true) // its end is not known yet
	n.Tasks.Exit(c.ID, 0)
	n.Tasks.Lose(c.ID)
	refused(c, limits(0, 9), errdefs.ErrFailedPrecondition, "it has ended")
	if err := n.Process.Containers.Stop(t.Context(), c, 0); err != nil {
		t.Fatal(err)
	}
	refused(c, limits(0, 9), errdefs.ErrFailedPrecondition, "neither created nor running")
	n.has(t, c, 8*mib, 512)
	if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	refused(c, limits(0, 9), errdefs.ErrFailedPrecondition, "removed")
}

// TestUpdateFails lets each step fail: what status and record tell is in
// force, and a retry makes it good.
func TestUpdateFails(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(*node, *testing.T) *container.Container{
		"created": func(n *node, t *testing.T) *container.Container {
			return n.create(t, "app", limited(limits(8*mib, 512)))
		},
		"running": func(n *node, t *testing.T) *container.Container {
			return n.start(t, "app", limited(limits(8*mib, 512)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			c := begin(n, t)
			n.Calls()
			n.update(t, c, limits(9*mib, 600))
			eachFailure(t, n.Steps(), func(t *testing.T, step string, when podtest.When) {
				n := newNode(t)
				c := begin(n, t)
				n.Fail(step, when, 1)
				injected(t, n.Process.Containers.Update(t.Context(), c, limits(9*mib, 600), nil))
				n.has(t, c, 8*mib, 512)
				if step == "Containers.UpdateSpec" && name == "running" {
					updates := n.updates(t, c)
					if back := updates[len(updates)-1]; *back.Memory.Limit != 8*mib || *back.CPU.Shares != 512 {
						t.Errorf("what could not be recorded was not taken back: %+v", back)
					}
				}
				n.update(t, c, limits(9*mib, 600))
				n.has(t, c, 9*mib, 600)
			})
		})
	}
}

// TestUpdateHangs has a shim that does not answer: reads, other containers and
// the container's own stop do not wait for it.
func TestUpdateHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		c, other := n.start(t, "app", limited(limits(8*mib, 512))), n.create(t, "other", limited(limits(8*mib, 512)))
		entered, release := n.Hold("Tasks.Update")
		defer release()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := n.Process.Containers.Update(ctx, c, limits(9*mib, 0), nil)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "update task") {
			t.Fatalf("got %v, want the deadline and the stage", err)
		}
		<-entered
		n.has(t, c, 8*mib, 512)
		n.update(t, other, limits(9*mib, 0))
		n.has(t, other, 9*mib, 512)
		running := n.Process.Containers.Running()
		if len(running) != 1 || running[0].What != "update container "+c.ID {
			t.Errorf("operations: %+v", running)
		}
		// Another one waits for its turn, also no longer than it may.
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := n.Process.Containers.Update(ctx, c, limits(7*mib, 0), nil); !errors.Is(err, context.DeadlineExceeded) ||
			!strings.Contains(err.Error(), "earlier update") {
			t.Errorf("got %v, want the deadline and the stage", err)
		}
		if err := n.Process.Containers.Stop(t.Context(), c, time.Second); err != nil {
			t.Errorf("stop: %v", err)
		}
		ended(t, c, 143, "Error")
	})
}

// TestUpdateGoesOn has a client that gives up: the update is done all the
// same, and the retry joins it.
func TestUpdateGoesOn(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.start(t, "app", limited(limits(8*mib, 512)))
	entered, release := n.Hold("Tasks.Update")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Process.Containers.Update(ctx, c, limits(9*mib, 0), nil) }()
	<-entered
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	go func() { done <- n.Process.Containers.Update(t.Context(), c, limits(9*mib, 0), nil) }()
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	n.has(t, c, 9*mib, 512)
}
