package nri

import (
	"context"

	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"

	"github.com/trivet-cri/trivet/runtime/pod"
)

// RunPod asks plugins about a pod that is about to run: its namespaces,
// network and files are there. After an error, StopPod and RemovePod tell those
// that have heard of it. Errors: ErrUnavailable (a required plugin is not there),
// ErrFailedPrecondition with a plugin's words.
func (p *Plugins) RunPod(ctx context.Context, one *pod.Pod) error {
	return p.ask(ctx, api.Event_RUN_POD_SANDBOX, func(ctx context.Context, library *adaptation.Adaptation) error {
		p.told.pods.add(one.ID, one, false)
		if library == nil {
			return nil
		}
		return library.RunPodSandbox(ctx, &api.RunPodSandboxRequest{Pod: podMessage(one)})
	})
}

// UpdatePod asks plugins about new resources of a pod. Errors as of RunPod.
func (p *Plugins) UpdatePod(ctx context.Context, one *pod.Pod, r pod.Resources) error {
	return p.ask(ctx, api.Event_UPDATE_POD_SANDBOX, func(ctx context.Context, library *adaptation.Adaptation) error {
		if library == nil {
			return nil
		}
		_, err := library.UpdatePodSandbox(ctx, &api.UpdatePodSandboxRequest{
			Pod: podMessage(one), OverheadLinuxResources: fromCRI(r.Overhead), LinuxResources: fromCRI(r.Resources),
		})
		return err
	})
}

// PodUpdated tells plugins that UpdatePod was followed.
func (p *Plugins) PodUpdated(ctx context.Context, one *pod.Pod) {
	p.tell(ctx, api.Event_POST_UPDATE_POD_SANDBOX, one.ID, nil, func(ctx context.Context, library *adaptation.Adaptation) error {
		return library.PostUpdatePodSandbox(ctx, &api.PostUpdatePodSandboxRequest{Pod: podMessage(one)})
	})
}

// StopPod tells plugins, once, that a pod is being stopped.
func (p *Plugins) StopPod(ctx context.Context, one *pod.Pod) {
	if !p.told.pods.runs(one.ID) {
		return
	}
	p.tell(ctx, api.Event_STOP_POD_SANDBOX, one.ID, p.told.pods.stop, func(ctx context.Context, library *adaptation.Adaptation) error {
		return library.StopPodSandbox(ctx, &api.StopPodSandboxRequest{Pod: podMessage(one)})
	})
}

// RemovePod tells plugins, once, that a pod is no more.
func (p *Plugins) RemovePod(ctx context.Context, one *pod.Pod) {
	p.tell(ctx, api.Event_REMOVE_POD_SANDBOX, one.ID, p.told.pods.remove, func(ctx context.Context, library *adaptation.Adaptation) error {
		return library.RemovePodSandbox(ctx, &api.RemovePodSandboxRequest{Pod: podMessage(one)})
	})
}
