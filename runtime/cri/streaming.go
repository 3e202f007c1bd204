package cri

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/pod"
)

// Streamer moves bytes; streamerv1.StreamerClient does.
type Streamer interface {
	ReopenLog(ctx context.Context, r *streamerv1.ReopenLogRequest, opts ...grpc.CallOption) (*streamerv1.ReopenLogResponse, error)
	ExecSync(ctx context.Context, r *streamerv1.ExecSyncRequest, opts ...grpc.CallOption) (*streamerv1.ExecSyncResponse, error)
	PrepareExec(ctx context.Context, r *streamerv1.PrepareExecRequest, opts ...grpc.CallOption) (*streamerv1.PrepareExecResponse, error)
	PrepareAttach(ctx context.Context, r *streamerv1.PrepareAttachRequest, opts ...grpc.CallOption) (*streamerv1.PrepareAttachResponse, error)
	PreparePortForward(ctx context.Context, r *streamerv1.PreparePortForwardRequest, opts ...grpc.CallOption) (*streamerv1.PreparePortForwardResponse, error)
}

// Streaming serves the CRI's calls about bytes: it says whether they may flow,
// and the streamer lets them.
type Streaming struct {
	pods       *pod.Service
	containers *container.Service
	streamer   Streamer
}

// NewStreaming returns the handlers.
func NewStreaming(pods *pod.Service, containers *container.Service, streamer Streamer) *Streaming {
	return &Streaming{pods: pods, containers: containers, streamer: streamer}
}

// running finds a container that must run.
func (s *Streaming) running(id string) (*container.Container, error) {
	one, err := s.containers.Get(id)
	if err != nil {
		return nil, err
	}
	if !one.Running() {
		return nil, fmt.Errorf("container %s does not run: %w", one.ID, errdefs.ErrFailedPrecondition)
	}
	return one, nil
}

// ReopenContainerLog has the log written to a new file after a rotation; the
// old one is complete when it returns. Idempotent. Errors: NotFound,
// FailedPrecondition (it does not run).
func (s *Streaming) ReopenContainerLog(ctx context.Context, r *runtimeapi.ReopenContainerLogRequest) (*runtimeapi.ReopenContainerLogResponse, error) {
	one, err := s.running(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	if _, err := s.streamer.ReopenLog(ctx, &streamerv1.ReopenLogRequest{ContainerId: one.ID}); err != nil {
		return nil, err
	}
	return &runtimeapi.ReopenContainerLogResponse{}, nil
}

// ExecSync runs a command and returns its output; an exit code is no error.
// Not idempotent. Errors: NotFound, FailedPrecondition (it does not run),
// DeadlineExceeded (the timeout passed; the command is killed).
func (s *Streaming) ExecSync(ctx context.Context, r *runtimeapi.ExecSyncRequest) (*runtimeapi.ExecSyncResponse, error) {
	one, err := s.running(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	if r.GetTimeout() < 0 {
		return nil, fmt.Errorf("timeout %d is negative: %w", r.GetTimeout(), errdefs.ErrInvalidArgument)
	}
	result, err := s.streamer.ExecSync(ctx, &streamerv1.ExecSyncRequest{
		Container: one.Streams, Cmd: r.GetCmd(), Timeout: durationpb.New(seconds(r.GetTimeout())),
	})
	if err != nil {
		return nil, err
	}
	return &runtimeapi.ExecSyncResponse{Stdout: result.GetStdout(), Stderr: result.GetStderr(), ExitCode: result.GetExitCode()}, nil
}

// Exec prepares a session with a command and returns its URL. Errors:
// NotFound, InvalidArgument, FailedPrecondition (it does not run).
func (s *Streaming) Exec(ctx context.Context, r *runtimeapi.ExecRequest) (*runtimeapi.ExecResponse, error) {
	one, err := s.running(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	prepared, err := s.streamer.PrepareExec(ctx, &streamerv1.PrepareExecRequest{
		Container: one.Streams, Cmd: r.GetCmd(), Tty: r.GetTty(), Stdin: r.GetStdin(), Stdout: r.GetStdout(), Stderr: r.GetStderr(),
	})
	if err != nil {
		return nil, err
	}
	return &runtimeapi.ExecResponse{Url: prepared.GetUrl()}, nil
}

// Attach prepares a session with a container's own streams and returns its
// URL. Errors: NotFound, InvalidArgument, FailedPrecondition (it does not run).
func (s *Streaming) Attach(ctx context.Context, r *runtimeapi.AttachRequest) (*runtimeapi.AttachResponse, error) {
	one, err := s.running(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	prepared, err := s.streamer.PrepareAttach(ctx, &streamerv1.PrepareAttachRequest{
		Container: one.Streams, Tty: r.GetTty(), Stdin: r.GetStdin(), Stdout: r.GetStdout(), Stderr: r.GetStderr(),
	})
	if err != nil {
		return nil, err
	}
	return &runtimeapi.AttachResponse{Url: prepared.GetUrl()}, nil
}

// PortForward prepares a session with ports of a pod and returns its URL.
// Errors: NotFound, InvalidArgument, FailedPrecondition (the pod is not ready).
func (s *Streaming) PortForward(ctx context.Context, r *runtimeapi.PortForwardRequest) (*runtimeapi.PortForwardResponse, error) {
	p, err := s.pods.Get(r.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	if !p.State().Ready {
		return nil, fmt.Errorf("pod %s is not ready: %w", p.ID, errdefs.ErrFailedPrecondition)
	}
	m := p.Config.GetMetadata()
	prepared, err := s.streamer.PreparePortForward(ctx, &streamerv1.PreparePortForwardRequest{
		PodId: p.ID, NetnsPath: p.Namespaces.Network, Ports: r.GetPort(),
		PodNamespace: m.GetNamespace(), PodName: m.GetName(), PodUid: m.GetUid(),
	})
	if err != nil {
		return nil, err
	}
	return &runtimeapi.PortForwardResponse{Url: prepared.GetUrl()}, nil
}
