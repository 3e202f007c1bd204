package nri_test

import (
	"net"
	"os"
	"slices"
	"testing"

	"github.com/containerd/nri/pkg/api"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container"
)

func limits(memory int64) *runtimeapi.LinuxContainerResources {
	return &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: memory}
}

// TestSynchronize: a plugin that comes late is told of what exists and runs,
// with its spec; also after a restart, which runs no hook again.
func TestSynchronize(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	p := n.run(t, "web")
	running := n.start(t, p, "server")
	n.create(t, p, "fresh")
	gone := n.start(t, p, "gone")
	if err := n.containers.Stop(t.Context(), gone, 0); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		plugin := n.connect(t, "10", "late")
		if len(plugin.pods) != 1 || plugin.pods[0].GetId() != p.ID || plugin.pods[0].GetUid() != "uid-web" || len(plugin.pods[0].GetIps()) != 2 {
			t.Errorf("pods: %v", plugin.pods)
		}
		states := make(map[string]api.ContainerState)
		for _, c := range plugin.containers {
			states[c.GetName()] = c.GetState()
			if c.GetId() == running.ID && (!slices.Equal(c.GetArgs(), []string{"/bin/server"}) || c.GetPid() == 0 || c.GetPodSandboxId() != p.ID) {
				t.Errorf("container: %v", c)
			}
		}
		if len(states) != 2 || states["server"] != api.ContainerState_CONTAINER_RUNNING || states["fresh"] != api.ContainerState_CONTAINER_CREATED {
			t.Errorf("containers: %v", states)
		}
		if story := plugin.story(); len(story) > 0 {
			t.Errorf("it also heard %q", story)
		}
		n.end()
		plugin.stub.Stop() // it would see its connection end with the process
	}
	check()
	n.begin(t)
	p = n.pods.All()[p.ID]
	await(t, "process to be found", func() bool { return n.containers.All()[running.ID].State().PID != 0 })
	check()
}

// memory is the limit of a container's task or record.
func (n *node) memory(c *container.Container) int64 {
	return c.Resources().GetMemoryLimitInBytes()
}

func update(id string, memory int64) *api.ContainerUpdate {
	u := &api.ContainerUpdate{}
	u.SetContainerId(id)
	u.SetLinuxMemoryLimit(memory)
	return u
}

// TestUpdates: what plugins want of other containers is done: with the answer
// to a hook, and unasked. An update that a client wants is as plugins make it.
func TestUpdates(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	p := n.run(t, "web")
	first := n.start(t, p, "first")
	plugin := n.connect(t, "10", "balancer", func(p *plugin) {
		p.adjust = func(*api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate) {
			return nil, []*api.ContainerUpdate{update(first.ID, 16<<20)}
		}
		p.update = func(c *api.Container, r *api.LinuxResources) []*api.ContainerUpdate {
			return []*api.ContainerUpdate{update(c.GetId(), 2*r.GetMemory().GetLimit().GetValue()), update(first.ID, 64<<20)}
		}
	})
	second := n.create(t, p, "second")
	if got := n.memory(first); got != 16<<20 {
		t.Errorf("after the creation of another: %d", got)
	}
	failed, err := plugin.stub.UpdateContainers([]*api.ContainerUpdate{update(first.ID, 32<<20), update("unknown", 1<<20)})
	if got := n.memory(first); got != 32<<20 {
		t.Errorf("unasked: %d, %v, %v", got, failed, err)
	}
	if err == nil && (len(failed) != 1 || failed[0].GetContainerId() != "unknown") {
		t.Errorf("failed are %v", failed)
	}
	if err := n.containers.Update(t.Context(), second, limits(8<<20), nil); err != nil {
		t.Fatal(err)
	}
	if a, b := n.memory(first), n.memory(second); a != 64<<20 || b != 16<<20 {
		t.Errorf("after an update: %d and %d", a, b)
	}
}

// TestSocket: the socket is for this user alone, a dead one is replaced, and
// one that another process serves is not, which ends nothing.
func TestSocket(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.connect(t, "10", "logger")
	info, err := os.Stat(n.socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info.Mode(), err)
	}
	n.end()
	n.begin(t)
	n.connect(t, "10", "logger")
	n.end()
	if err := os.Remove(n.socket); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", n.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	n.begin(t)
	n.run(t, "web")
	if names := n.plugins.Registered(); len(names) > 0 {
		t.Errorf("there are plugins: %v", names)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	n.connect(t, "10", "logger") // once it is tried again
}
