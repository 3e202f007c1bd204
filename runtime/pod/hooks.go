package pod

import "context"

// Hooks let plugins take part in the lives of pods; *nri.Plugins does. Those
// that return an error wait for plugins, which may refuse; the others wait no
// longer than a single plugin may take, and log what fails.
type Hooks interface {
	// Admit refuses a pod before anything of it is made.
	Admit(ctx context.Context) error
	// RunPod is asked when all of the pod but its record is there. If it, or
	// what follows, fails, StopPod and RemovePod tell so.
	RunPod(ctx context.Context, p *Pod) error
	UpdatePod(ctx context.Context, p *Pod, r Resources) error
	PodUpdated(ctx context.Context, p *Pod)
	StopPod(ctx context.Context, p *Pod)
	RemovePod(ctx context.Context, p *Pod)
}

// NoHooks is without plugins.
type NoHooks struct{}

// Admit admits.
func (NoHooks) Admit(context.Context) error { return nil }

// RunPod asks nobody.
func (NoHooks) RunPod(context.Context, *Pod) error { return nil }

// UpdatePod asks nobody.
func (NoHooks) UpdatePod(context.Context, *Pod, Resources) error { return nil }

// PodUpdated tells nobody.
func (NoHooks) PodUpdated(context.Context, *Pod) {}

// StopPod tells nobody.
func (NoHooks) StopPod(context.Context, *Pod) {}

// RemovePod tells nobody.
func (NoHooks) RemovePod(context.Context, *Pod) {}
