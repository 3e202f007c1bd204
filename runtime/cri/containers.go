package cri

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/pod"
)

// Specs reads containers' OCI specs; *engine.Engine does.
type Specs interface {
	ContainerSpec(ctx context.Context, id string) (*specs.Spec, error)
}

// Containers serves the CRI's calls about containers.
type Containers struct {
	pods       *pod.Service
	containers *container.Service
	specs      Specs
}

// NewContainers returns the handlers.
func NewContainers(pods *pod.Service, containers *container.Service, specs Specs) *Containers {
	return &Containers{pods: pods, containers: containers, specs: specs}
}

// CreateContainer makes a container in a pod. Kubelets call it once for each
// attempt; a retry of the same attempt joins it or gets its result. Errors:
// InvalidArgument, NotFound (pod or image), FailedPrecondition (the pod is not
// ready), AlreadyExists (same metadata, other configuration), DeadlineExceeded
// (it goes on).
func (c *Containers) CreateContainer(ctx context.Context, r *runtimeapi.CreateContainerRequest) (*runtimeapi.CreateContainerResponse, error) {
	p, err := c.pods.Get(r.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	if r.GetConfig() == nil {
		return nil, fmt.Errorf("config is empty: %w", errdefs.ErrInvalidArgument)
	}
	made, err := c.containers.Create(ctx, p, r.GetConfig())
	if err != nil {
		return nil, err
	}
	return &runtimeapi.CreateContainerResponse{ContainerId: made.ID}, nil
}

// StartContainer runs a created container. Errors: NotFound,
// FailedPrecondition (it is not in state created), those of the OCI runtime.
func (c *Containers) StartContainer(ctx context.Context, r *runtimeapi.StartContainerRequest) (*runtimeapi.StartContainerResponse, error) {
	one, err := c.containers.Get(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	p, err := c.pods.Get(one.PodID)
	if err != nil {
		return nil, err
	}
	if err := c.containers.Start(ctx, one, p); err != nil {
		return nil, err
	}
	return &runtimeapi.StartContainerResponse{}, nil
}

// StopContainer ends a container; after the timeout it is killed. Idempotent;
// a container that does not exist is no error.
func (c *Containers) StopContainer(ctx context.Context, r *runtimeapi.StopContainerRequest) (*runtimeapi.StopContainerResponse, error) {
	if r.GetTimeout() < 0 {
		return nil, fmt.Errorf("timeout %d is negative: %w", r.GetTimeout(), errdefs.ErrInvalidArgument)
	}
	one, err := c.containers.Get(r.GetContainerId())
	if errdefs.IsNotFound(err) {
		return &runtimeapi.StopContainerResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := c.containers.Stop(ctx, one, seconds(r.GetTimeout())); err != nil {
		return nil, err
	}
	return &runtimeapi.StopContainerResponse{}, nil
}

// seconds is a client's count of them. Some send the largest number for ever,
// which as a duration would be negative.
func seconds(n int64) time.Duration {
	return time.Duration(min(n, math.MaxInt64/int64(time.Second))) * time.Second
}

// RemoveContainer removes a container, killing it first if it runs.
// Idempotent; a container that does not exist is no error.
func (c *Containers) RemoveContainer(ctx context.Context, r *runtimeapi.RemoveContainerRequest) (*runtimeapi.RemoveContainerResponse, error) {
	one, err := c.containers.Get(r.GetContainerId())
	if errdefs.IsNotFound(err) {
		if _, err := c.containers.RemoveQuarantined(ctx, r.GetContainerId()); err != nil {
			return nil, err
		}
		return &runtimeapi.RemoveContainerResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := c.containers.Remove(ctx, one); err != nil {
		return nil, err
	}
	return &runtimeapi.RemoveContainerResponse{}, nil
}

// ListContainers lists containers, from memory, newest first.
func (c *Containers) ListContainers(_ context.Context, r *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	filter := r.GetFilter()
	response := &runtimeapi.ListContainersResponse{}
	for _, one := range chooseContainers(c.containers.All(), filter.GetId(), filter.GetPodSandboxId(), filter.GetLabelSelector()) {
		state := one.State().Shown()
		if filter.GetState() != nil && filter.GetState().GetState() != state {
			continue
		}
		response.Containers = append(response.Containers, &runtimeapi.Container{
			Id: one.ID, PodSandboxId: one.PodID, Metadata: one.Config.GetMetadata(), State: state,
			Image: one.Config.GetImage(), ImageRef: one.ImageRef, ImageId: one.ImageID, CreatedAt: one.CreatedAt.UnixNano(),
			Labels: one.Config.GetLabels(), Annotations: one.Config.GetAnnotations(),
		})
	}
	return response, nil
}

// ContainerStatus tells about one container, from memory; only the verbose
// part asks containerd, for the OCI spec. Errors: NotFound.
func (c *Containers) ContainerStatus(ctx context.Context, r *runtimeapi.ContainerStatusRequest) (*runtimeapi.ContainerStatusResponse, error) {
	one, err := c.containers.Get(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	state := one.State()
	response := &runtimeapi.ContainerStatusResponse{Status: containerStatus(one, state)}
	if r.GetVerbose() {
		if response.Info, err = c.info(ctx, one, state); err != nil {
			return nil, err
		}
	}
	return response, nil
}

func containerStatus(one *container.Container, state container.State) *runtimeapi.ContainerStatus {
	status := &runtimeapi.ContainerStatus{
		Id: one.ID, Metadata: one.Config.GetMetadata(), State: state.Shown(), CreatedAt: one.CreatedAt.UnixNano(),
		ExitCode: state.ExitCode, Reason: state.Reason, Message: state.Message,
		Image: one.Config.GetImage(), ImageRef: one.ImageRef, ImageId: one.ImageID,
		Labels: one.Config.GetLabels(), Annotations: one.Config.GetAnnotations(),
		Mounts: one.Mounts(), LogPath: one.LogPath, StopSignal: one.StopSignal(),
		User: &runtimeapi.ContainerUser{Linux: &runtimeapi.LinuxContainerUser{
			Uid: int64(one.User.UID), Gid: int64(one.User.GID), SupplementalGroups: groups(one.User.AdditionalGids),
		}},
	}
	if resources := one.Resources(); resources != nil {
		status.Resources = &runtimeapi.ContainerResources{Linux: resources}
	}
	if !state.StartedAt.IsZero() {
		status.StartedAt = state.StartedAt.UnixNano()
	}
	if !state.FinishedAt.IsZero() {
		status.FinishedAt = state.FinishedAt.UnixNano()
	}
	return status
}

func groups(gids []uint32) []int64 {
	out := make([]int64, len(gids))
	for i, gid := range gids {
		out[i] = int64(gid)
	}
	return out
}

// info is the verbose part, with the names of containerd's CRI plugin where
// both have a thing.
func (c *Containers) info(ctx context.Context, one *container.Container, state container.State) (map[string]string, error) {
	spec, err := c.specs.ContainerSpec(ctx, one.ID)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(map[string]any{
		"sandboxID": one.PodID, "pid": state.PID, "removing": state.Removing, "forbiddenSyscalls": c.containers.Forbidden(one.ID).Used,
		"runtimeType": one.Handler.Type, "runtimeOptions": one.Handler.Options,
		"config": one.Config, "runtimeSpec": spec,
	})
	if err != nil {
		return nil, fmt.Errorf("describe container %s: %w", one.ID, err)
	}
	return map[string]string{"info": string(text)}, nil
}
