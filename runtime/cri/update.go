package cri

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/pod"
)

// UpdateContainerResources changes the limits of a created or running
// container in place. Kubelets call it to resize a pod and to pin containers
// to processors. Values that are not set stay; asking again changes nothing.
// Errors: NotFound, InvalidArgument, FailedPrecondition (it has ended, or this
// machine cannot), those of the OCI runtime, DeadlineExceeded (it goes on).
func (c *Containers) UpdateContainerResources(ctx context.Context, r *runtimeapi.UpdateContainerResourcesRequest) (*runtimeapi.UpdateContainerResourcesResponse, error) {
	if r.GetWindows() != nil {
		return nil, fmt.Errorf("windows is set, on Linux: %w", errdefs.ErrInvalidArgument)
	}
	one, err := c.containers.Get(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	if err := c.containers.Update(ctx, one, r.GetLinux(), r.GetAnnotations()); err != nil {
		return nil, err
	}
	return &runtimeapi.UpdateContainerResourcesResponse{}, nil
}

// UpdatePodSandboxResources records what the client, whose cgroup the pod's
// is, has set there. Kubelets call it when they have resized a pod. Both
// values replace those before; asking again changes nothing. Errors: NotFound,
// InvalidArgument, those of containerd, DeadlineExceeded (it goes on).
func (s *Sandboxes) UpdatePodSandboxResources(ctx context.Context, r *runtimeapi.UpdatePodSandboxResourcesRequest) (*runtimeapi.UpdatePodSandboxResourcesResponse, error) {
	p, err := s.pods.Get(r.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	if err := s.pods.Update(ctx, p, pod.Resources{Overhead: r.GetOverhead(), Resources: r.GetResources()}); err != nil {
		return nil, err
	}
	return &runtimeapi.UpdatePodSandboxResourcesResponse{}, nil
}

// linuxResources are resources as the verbose status has them; nil for none.
func linuxResources(r *runtimeapi.LinuxContainerResources) *runtimeapi.ContainerResources {
	if r == nil {
		return nil
	}
	return &runtimeapi.ContainerResources{Linux: r}
}
