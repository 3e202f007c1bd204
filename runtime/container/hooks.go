package container

import (
	"context"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/pod"
)

// Hooks let plugins take part in the lives of containers; *nri.Plugins does.
// Those that return an error wait for plugins, which may refuse; the others wait
// no longer than a single plugin may take, and log what fails.
type Hooks interface {
	// CreateContainer is asked before anything of the container is made, and
	// may edit s. If it, or what follows, fails, StopContainer and RemoveContainer
	// tell so.
	CreateContainer(ctx context.Context, p *pod.Pod, c *Container, s *specs.Spec) error
	ContainerCreated(ctx context.Context, c *Container)
	// StartContainer is asked when the task is created, with pid; 0 for a
	// restored container, whose process is there only once it runs.
	StartContainer(ctx context.Context, c *Container, pid int) error
	ContainerStarted(ctx context.Context, c *Container)
	// UpdateContainer returns the limits to set.
	UpdateContainer(ctx context.Context, c *Container, r *runtimeapi.LinuxContainerResources) (*runtimeapi.LinuxContainerResources, error)
	ContainerUpdated(ctx context.Context, c *Container)
	// StopContainer is told of each end, however it came; more than once is fine.
	StopContainer(ctx context.Context, c *Container)
	RemoveContainer(ctx context.Context, c *Container)
}

// NoHooks is without plugins.
type NoHooks struct{}

// CreateContainer asks nobody.
func (NoHooks) CreateContainer(context.Context, *pod.Pod, *Container, *specs.Spec) error { return nil }

// ContainerCreated tells nobody.
func (NoHooks) ContainerCreated(context.Context, *Container) {}

// StartContainer asks nobody.
func (NoHooks) StartContainer(context.Context, *Container, int) error { return nil }

// ContainerStarted tells nobody.
func (NoHooks) ContainerStarted(context.Context, *Container) {}

// UpdateContainer returns r.
func (NoHooks) UpdateContainer(_ context.Context, _ *Container, r *runtimeapi.LinuxContainerResources) (*runtimeapi.LinuxContainerResources, error) {
	return r, nil
}

// ContainerUpdated tells nobody.
func (NoHooks) ContainerUpdated(context.Context, *Container) {}

// StopContainer tells nobody.
func (NoHooks) StopContainer(context.Context, *Container) {}

// RemoveContainer tells nobody.
func (NoHooks) RemoveContainer(context.Context, *Container) {}
