package nri

import (
	"context"
	"time"

	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/pod"
)

// CreateContainer asks plugins about a container that is about to be created
// and makes the adjustments that they want in s. What they want of other
// containers is done before it returns; failures of that are logged. After an
// error, StopContainer and RemoveContainer tell those that have heard of it.
// Errors as of RunPod.
func (p *Plugins) CreateContainer(ctx context.Context, in *pod.Pod, c *container.Container, s *specs.Spec) error {
	var answer *api.CreateContainerResponse
	err := p.ask(ctx, api.Event_CREATE_CONTAINER, func(ctx context.Context, library *adaptation.Adaptation) (err error) {
		p.told.containers.add(c.ID, knownContainer{c, in}, false)
		if library == nil {
			return nil
		}
		answer, err = library.CreateContainer(ctx, &api.CreateContainerRequest{Pod: podMessage(in), Container: containerMessage(c, s)})
		return err
	})
	if err != nil {
		return err
	}
	if err := p.adjust(s, answer.GetAdjust()); err != nil {
		return err
	}
	_, _ = p.apply(ctx, answer.GetUpdate()) // it has logged
	return nil
}

// ContainerCreated tells plugins that CreateContainer was followed.
func (p *Plugins) ContainerCreated(ctx context.Context, c *container.Container) {
	p.tellOf(ctx, api.Event_POST_CREATE_CONTAINER, c, nil, func(ctx context.Context, library *adaptation.Adaptation, in *api.PodSandbox, m *api.Container) error {
		return library.PostCreateContainer(ctx, &api.PostCreateContainerRequest{Pod: in, Container: m})
	})
}

// StartContainer asks plugins about a container whose process is there, with
// pid, and about to be started; a restored one's is not there yet, and pid is 0.
// Errors as of RunPod.
func (p *Plugins) StartContainer(ctx context.Context, c *container.Container, pid int) error {
	return p.ask(ctx, api.Event_START_CONTAINER, func(ctx context.Context, library *adaptation.Adaptation) error {
		in, m := p.describe(ctx, library, c)
		if m == nil {
			return nil
		}
		m.Pid = uint32(pid)
		return library.StartContainer(ctx, &api.StartContainerRequest{Pod: in, Container: m})
	})
}

// ContainerStarted tells plugins that StartContainer was followed.
func (p *Plugins) ContainerStarted(ctx context.Context, c *container.Container) {
	p.tellOf(ctx, api.Event_POST_START_CONTAINER, c, nil, func(ctx context.Context, library *adaptation.Adaptation, in *api.PodSandbox, m *api.Container) error {
		return library.PostStartContainer(ctx, &api.PostStartContainerRequest{Pod: in, Container: m})
	})
}

// UpdateContainer asks plugins about new limits of a container and returns
// what they make of them. What they want of other containers is done before it
// returns. Errors as of RunPod.
func (p *Plugins) UpdateContainer(ctx context.Context, c *container.Container, r *runtimeapi.LinuxContainerResources) (*runtimeapi.LinuxContainerResources, error) {
	var answer *api.UpdateContainerResponse
	err := p.ask(ctx, api.Event_UPDATE_CONTAINER, func(ctx context.Context, library *adaptation.Adaptation) (err error) {
		in, m := p.describe(ctx, library, c)
		if m == nil {
			return nil
		}
		wanted := fromCRI(r)
		if wanted == nil {
			wanted = &api.LinuxResources{} // the library looks into it
		}
		answer, err = library.UpdateContainer(ctx, &api.UpdateContainerRequest{Pod: in, Container: m, LinuxResources: wanted})
		return err
	})
	if err != nil {
		return nil, err
	}
	var others []*api.ContainerUpdate
	for _, update := range answer.GetUpdate() {
		if update.GetContainerId() == c.ID {
			r = toCRI(r, update.GetLinux().GetResources())
		} else if update != nil {
			others = append(others, update)
		}
	}
	_, _ = p.apply(ctx, others) // it has logged
	return r, nil
}

// ContainerUpdated tells plugins that UpdateContainer was followed.
func (p *Plugins) ContainerUpdated(ctx context.Context, c *container.Container) {
	p.tellOf(ctx, api.Event_POST_UPDATE_CONTAINER, c, nil, func(ctx context.Context, library *adaptation.Adaptation, in *api.PodSandbox, m *api.Container) error {
		return library.PostUpdateContainer(ctx, &api.PostUpdateContainerRequest{Pod: in, Container: m})
	})
}

// StopContainer tells plugins, once, that a container has ended, however it
// came to that, or that its creation is undone.
func (p *Plugins) StopContainer(ctx context.Context, c *container.Container) {
	if !p.told.containers.runs(c.ID) {
		return
	}
	p.tellOf(ctx, api.Event_STOP_CONTAINER, c, p.told.containers.stop, func(ctx context.Context, library *adaptation.Adaptation, in *api.PodSandbox, m *api.Container) error {
		answer, err := library.StopContainer(ctx, &api.StopContainerRequest{Pod: in, Container: m})
		if err != nil {
			return err
		}
		if updates := answer.GetUpdate(); len(updates) > 0 {
			// Not in this hook's turn: a hung shim is no affair of plugins.
			p.background(func() { _, _ = p.apply(ctx, updates) })
		}
		return nil
	})
}

// RemoveContainer tells plugins, once, that a container is no more. They have
// been told of its end before.
func (p *Plugins) RemoveContainer(ctx context.Context, c *container.Container) {
	in := p.told.podOf(c.ID)
	if in == nil {
		return
	}
	p.StopContainer(ctx, c)
	p.tell(ctx, api.Event_REMOVE_CONTAINER, c.ID, p.told.containers.remove, func(ctx context.Context, library *adaptation.Adaptation) error {
		// Its record, with the spec, is gone.
		return library.RemoveContainer(ctx, &api.RemoveContainerRequest{Pod: podMessage(in), Container: containerMessage(c, nil)})
	})
}

// tellOf is tell about a container that plugins know and, if news is given, is
// news to them.
func (p *Plugins) tellOf(ctx context.Context, event api.Event, c *container.Container, news func(id string) bool,
	call func(ctx context.Context, library *adaptation.Adaptation, in *api.PodSandbox, m *api.Container) error,
) {
	p.tell(ctx, event, c.ID, news, func(ctx context.Context, library *adaptation.Adaptation) error {
		in, m := p.describe(ctx, library, c)
		if m == nil {
			return nil
		}
		return call(ctx, library, in, m)
	})
}

// specLimit bounds the wait for a spec in a hook.
const specLimit = 5 * time.Second

// describe makes the messages about a container; nil if there is nobody to be
// told, or nobody knows it.
func (p *Plugins) describe(ctx context.Context, library *adaptation.Adaptation, c *container.Container) (*api.PodSandbox, *api.Container) {
	in := p.told.podOf(c.ID)
	if library == nil || in == nil || len(p.peers.registered()) == 0 {
		return nil, nil
	}
	return podMessage(in), containerMessage(c, p.specOf(ctx, c))
}

// specOf is the container's spec, nil if it cannot be read in time or is gone.
func (p *Plugins) specOf(ctx context.Context, c *container.Container) *specs.Spec {
	ctx, cancel := context.WithTimeout(ctx, specLimit)
	defer cancel()
	s, err := p.Specs.ContainerSpec(ctx, c.ID)
	if err != nil {
		p.Log.DebugContext(ctx, "NRI plugins are told of a container without its OCI spec", telemetry.ContainerID, c.ID, "error", err)
		return nil
	}
	return s
}
