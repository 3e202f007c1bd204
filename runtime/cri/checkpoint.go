package cri

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/podcheckpoint"
)

// Checkpoints serves the CRI's calls about checkpoints. A container is
// restored by CreateContainer, whose image is a checkpoint then.
type Checkpoints struct {
	containers *container.Service
	pods       *podcheckpoint.Service
}

// NewCheckpoints returns the handlers.
func NewCheckpoints(containers *container.Service, pods *podcheckpoint.Service) *Checkpoints {
	return &Checkpoints{containers: containers, pods: pods}
}

// CheckpointContainer writes the state of a running container, which goes on
// afterwards, to an archive. Kubelets call it for their checkpoint API. Each
// call writes anew; one that fails leaves nothing. Errors: InvalidArgument,
// NotFound, FailedPrecondition (it does not run), Aborted (it is being
// stopped), Unimplemented (it names what is missing).
func (c *Checkpoints) CheckpointContainer(ctx context.Context, r *runtimeapi.CheckpointContainerRequest) (*runtimeapi.CheckpointContainerResponse, error) {
	if r.GetTimeout() < 0 {
		return nil, fmt.Errorf("timeout %d is negative: %w", r.GetTimeout(), errdefs.ErrInvalidArgument)
	}
	one, err := c.containers.Get(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	capture := container.Capture{Container: one, Status: StatusOf(one)}
	if err := c.containers.Checkpoint(ctx, capture, r.GetLocation(), seconds(r.GetTimeout())); err != nil {
		return nil, err
	}
	return &runtimeapi.CheckpointContainerResponse{}, nil
}

// CheckpointPod writes the state of a pod's running containers, as one cut,
// into an empty directory. One that fails leaves the directory empty. Errors:
// those of CheckpointContainer.
func (c *Checkpoints) CheckpointPod(ctx context.Context, r *runtimeapi.CheckpointPodRequest) (*runtimeapi.CheckpointPodResponse, error) {
	if err := c.pods.Checkpoint(ctx, r); err != nil {
		return nil, err
	}
	return &runtimeapi.CheckpointPodResponse{}, nil
}

// RestorePod runs a pod and creates its containers from what CheckpointPod has
// written; StartContainer continues them. A retry joins it or gets its result.
// Errors: InvalidArgument, NotFound (checkpoint or image), AlreadyExists,
// Unimplemented (it names what is missing), those of RunPodSandbox and
// CreateContainer, DeadlineExceeded (it goes on).
func (c *Checkpoints) RestorePod(ctx context.Context, r *runtimeapi.RestorePodRequest) (*runtimeapi.RestorePodResponse, error) {
	return c.pods.Restore(ctx, r)
}

// StatusOf is a container's CRI status, as it is now.
func StatusOf(one *container.Container) *runtimeapi.ContainerStatus {
	return containerStatus(one, one.State())
}
