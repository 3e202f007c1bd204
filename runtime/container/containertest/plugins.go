package containertest

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// Plugins are a fake container.Hooks. Calls: Plugins.CreateContainer,
// Plugins.StartContainer and Plugins.UpdateContainer; the others cannot fail.
type Plugins struct {
	faults *podtest.Faults
	mu     sync.Mutex
	all    map[string][]string // what plugins heard of containers that they know
}

// Heard is what plugins have heard of a container, in order.
func (p *Plugins) Heard(id string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all[id])
}

// IDs are the containers that plugins know, sorted.
func (p *Plugins) IDs() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.all))
}

func (p *Plugins) hear(id, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if heard, known := p.all[id]; known && heard[len(heard)-1] != what {
		p.all[id] = append(heard, what)
	}
}

// CreateContainer is part of container.Hooks. It adjusts the environment. One
// plugin has heard of the container when another refuses.
func (p *Plugins) CreateContainer(ctx context.Context, _ *pod.Pod, c *container.Container, s *specs.Spec) error {
	p.mu.Lock()
	p.all[c.ID] = []string{"create"}
	p.mu.Unlock()
	return p.faults.Do(ctx, "Plugins.CreateContainer", func() error {
		s.Process.Env = append(s.Process.Env, "ADJUSTED=1")
		return nil
	})
}

// ContainerCreated is part of container.Hooks.
func (p *Plugins) ContainerCreated(_ context.Context, c *container.Container) {
	p.hear(c.ID, "created")
}

// StartContainer is part of container.Hooks.
func (p *Plugins) StartContainer(ctx context.Context, c *container.Container, _ int) error {
	p.hear(c.ID, "start")
	return p.faults.Do(ctx, "Plugins.StartContainer", func() error { return nil })
}

// ContainerStarted is part of container.Hooks.
func (p *Plugins) ContainerStarted(_ context.Context, c *container.Container) {
	p.hear(c.ID, "started")
}

// UpdateContainer is part of container.Hooks. A plugin makes the memory of who
// asks for 1111 bytes twice as large.
func (p *Plugins) UpdateContainer(ctx context.Context, _ *container.Container, r *runtimeapi.LinuxContainerResources) (*runtimeapi.LinuxContainerResources, error) {
	err := p.faults.Do(ctx, "Plugins.UpdateContainer", func() error { return nil })
	if r.GetMemoryLimitInBytes() == 1111 {
		r = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 2222}
	}
	return r, err
}

// ContainerUpdated is part of container.Hooks.
func (p *Plugins) ContainerUpdated(_ context.Context, c *container.Container) {
	p.hear(c.ID, "updated")
}

// StopContainer is part of container.Hooks.
func (p *Plugins) StopContainer(_ context.Context, c *container.Container) { p.hear(c.ID, "stop") }

// RemoveContainer is part of container.Hooks. As real ones, plugins hear of the
// end before.
func (p *Plugins) RemoveContainer(_ context.Context, c *container.Container) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, c.ID)
}
