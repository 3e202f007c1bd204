package cri

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/pod"
)

// Sandboxes serves the CRI's calls about pods.
type Sandboxes struct {
	pods       *pod.Service
	containers *container.Service
}

// NewSandboxes returns the handlers.
func NewSandboxes(pods *pod.Service, containers *container.Service) *Sandboxes {
	return &Sandboxes{pods: pods, containers: containers}
}

// RunPodSandbox starts a pod. Kubelets call it once for each attempt; a retry
// of the same attempt joins it or gets its result. Errors: InvalidArgument,
// AlreadyExists (same metadata, other configuration), those of network and
// containerd, DeadlineExceeded (it goes on).
func (s *Sandboxes) RunPodSandbox(ctx context.Context, r *runtimeapi.RunPodSandboxRequest) (*runtimeapi.RunPodSandboxResponse, error) {
	p, err := s.pods.Run(ctx, r.GetConfig(), r.GetRuntimeHandler())
	if err != nil {
		return nil, err
	}
	return &runtimeapi.RunPodSandboxResponse{PodSandboxId: p.ID}, nil
}

// StopPodSandbox kills what runs in a pod and gives back its network.
// Idempotent; a pod that does not exist is no error.
func (s *Sandboxes) StopPodSandbox(ctx context.Context, r *runtimeapi.StopPodSandboxRequest) (*runtimeapi.StopPodSandboxResponse, error) {
	p, err := s.pods.Get(r.GetPodSandboxId())
	if errdefs.IsNotFound(err) {
		return &runtimeapi.StopPodSandboxResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := s.pods.Stop(ctx, p, s.stopping(p.ID)); err != nil {
		return nil, err
	}
	return &runtimeapi.StopPodSandboxResponse{}, nil
}

func (s *Sandboxes) stopping(id string) func(context.Context) error {
	return func(ctx context.Context) error { return s.containers.StopAll(ctx, id) }
}

// RemovePodSandbox removes a pod with its containers, stopping it first if
// need be. Idempotent; a pod that does not exist is no error.
func (s *Sandboxes) RemovePodSandbox(ctx context.Context, r *runtimeapi.RemovePodSandboxRequest) (*runtimeapi.RemovePodSandboxResponse, error) {
	p, err := s.pods.Get(r.GetPodSandboxId())
	if errdefs.IsNotFound(err) {
		// Containers in quarantine may be left of it, and even run.
		if err := s.containers.RemoveAll(ctx, r.GetPodSandboxId()); err != nil {
			return nil, err
		}
		if _, err := s.pods.RemoveQuarantined(ctx, r.GetPodSandboxId()); err != nil {
			return nil, err
		}
		return &runtimeapi.RemovePodSandboxResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	err = s.pods.Remove(ctx, p, s.stopping(p.ID), func(ctx context.Context) error { return s.containers.RemoveAll(ctx, p.ID) })
	if err != nil {
		return nil, err
	}
	return &runtimeapi.RemovePodSandboxResponse{}, nil
}

// PodSandboxStatus tells about one pod, from memory. Errors: NotFound.
func (s *Sandboxes) PodSandboxStatus(_ context.Context, r *runtimeapi.PodSandboxStatusRequest) (*runtimeapi.PodSandboxStatusResponse, error) {
	p, err := s.pods.Get(r.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	state := p.State()
	status := &runtimeapi.PodSandboxStatus{
		Id: p.ID, Metadata: p.Config.GetMetadata(), State: sandboxState(state), CreatedAt: p.CreatedAt.UnixNano(),
		Network: &runtimeapi.PodSandboxNetworkStatus{},
		Linux: &runtimeapi.LinuxPodSandboxStatus{Namespaces: &runtimeapi.Namespace{
			Options: p.Config.GetLinux().GetSecurityContext().GetNamespaceOptions(),
		}},
		Labels: p.Config.GetLabels(), Annotations: p.Config.GetAnnotations(), RuntimeHandler: p.HandlerName,
	}
	for i, ip := range state.IPs {
		if i == 0 {
			status.Network.Ip = ip
		} else {
			status.Network.AdditionalIps = append(status.Network.AdditionalIps, &runtimeapi.PodIP{Ip: ip})
		}
	}
	response := &runtimeapi.PodSandboxStatusResponse{Status: status}
	if r.GetVerbose() {
		if response.Info, err = sandboxInfo(p, state); err != nil {
			return nil, err
		}
	}
	return response, nil
}

// sandboxInfo is the verbose part, with the names of containerd's CRI plugin
// where both have a thing.
func sandboxInfo(p *pod.Pod, state pod.State) (map[string]string, error) {
	info := map[string]any{
		"pid":            state.PausePID,
		"runtimeHandler": p.HandlerName,
		"runtimeType":    p.Handler.Type,
		"config":         p.Config,
		"namespaces":     p.Namespaces,
		"files":          p.Files,
		"cniResult":      json.RawMessage(orNull(state.Network)),
	}
	if overhead := linuxResources(state.Resources.Overhead); overhead != nil {
		info["overhead"] = overhead
	}
	if resources := linuxResources(state.Resources.Resources); resources != nil {
		info["resources"] = resources
	}
	text, err := json.Marshal(info)
	if err != nil {
		return nil, fmt.Errorf("describe pod %s: %w", p.ID, err)
	}
	return map[string]string{"info": string(text)}, nil
}

func orNull(document string) string {
	if document == "" {
		return "null"
	}
	return document
}

// ListPodSandbox lists pods, from memory, newest first.
func (s *Sandboxes) ListPodSandbox(_ context.Context, r *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	filter := r.GetFilter()
	response := &runtimeapi.ListPodSandboxResponse{}
	for _, p := range choosePods(s.pods.All(), filter.GetId(), filter.GetLabelSelector()) {
		state := sandboxState(p.State())
		if filter.GetState() != nil && filter.GetState().GetState() != state {
			continue
		}
		response.Items = append(response.Items, &runtimeapi.PodSandbox{
			Id: p.ID, Metadata: p.Config.GetMetadata(), State: state, CreatedAt: p.CreatedAt.UnixNano(),
			Labels: p.Config.GetLabels(), Annotations: p.Config.GetAnnotations(), RuntimeHandler: p.HandlerName,
		})
	}
	return response, nil
}

func sandboxState(state pod.State) runtimeapi.PodSandboxState {
	if state.Ready {
		return runtimeapi.PodSandboxState_SANDBOX_READY
	}
	return runtimeapi.PodSandboxState_SANDBOX_NOTREADY
}
