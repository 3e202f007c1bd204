package podtest

import (
	"context"

	"github.com/trivet-cri/trivet/runtime/pod"
)

// Plugins are a fake pod.Hooks. Calls: Plugins.Admit, Plugins.RunPod and
// Plugins.UpdatePod; the others cannot fail. What it keeps are the pods that
// plugins know, and whether they know them as stopped.
type Plugins struct {
	faults *Faults
	*things[bool]
}

// Admit is part of pod.Hooks.
func (p *Plugins) Admit(ctx context.Context) error {
	return p.faults.Do(ctx, "Plugins.Admit", func() error { return nil })
}

// RunPod is part of pod.Hooks. One plugin has heard of the pod when another
// refuses.
func (p *Plugins) RunPod(ctx context.Context, one *pod.Pod) error {
	p.Put(one.ID, false)
	return p.faults.Do(ctx, "Plugins.RunPod", func() error { return nil })
}

// UpdatePod is part of pod.Hooks.
func (p *Plugins) UpdatePod(ctx context.Context, _ *pod.Pod, _ pod.Resources) error {
	return p.faults.Do(ctx, "Plugins.UpdatePod", func() error { return nil })
}

// PodUpdated is part of pod.Hooks.
func (p *Plugins) PodUpdated(context.Context, *pod.Pod) {}

// StopPod is part of pod.Hooks.
func (p *Plugins) StopPod(_ context.Context, one *pod.Pod) {
	if _, ok := p.Get(one.ID); ok {
		p.Put(one.ID, true)
	}
}

// RemovePod is part of pod.Hooks. Plugins forget a pod only once it is
// stopped.
func (p *Plugins) RemovePod(_ context.Context, one *pod.Pod) {
	if stopped, ok := p.Get(one.ID); ok && stopped {
		p.Drop(one.ID)
	}
}
