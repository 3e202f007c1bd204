// Package service is netsync's gRPC surface: it validates what only concerns
// the wire, calls the domain and translates. Errors are mapped to codes by
// internal/rpc.
package service

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/trivet-cri/trivet/internal/telemetry"
	netsyncv1 "github.com/trivet-cri/trivet/proto/netsync/v1"
	"google.golang.org/grpc"

	"github.com/trivet-cri/trivet/netsync/attach"
	"github.com/trivet-cri/trivet/netsync/ledger"
	"github.com/trivet-cri/trivet/netsync/podcidr"
	"github.com/trivet-cri/trivet/netsync/status"
)

// Server implements the NetSync service.
type Server struct {
	netsyncv1.UnimplementedNetSyncServer
	attachments *attach.Attachments
	board       *status.Board
	cidrs       *podcidr.Writer
	stopping    <-chan struct{}
}

// New returns the service. Streams end when stopping is closed, so that the
// server can stop gracefully.
func New(attachments *attach.Attachments, board *status.Board, cidrs *podcidr.Writer, stopping <-chan struct{}) *Server {
	return &Server{attachments: attachments, board: board, cidrs: cidrs, stopping: stopping}
}

// Attach connects a pod. Called by RunPodSandbox; idempotent by pod id.
func (s *Server) Attach(ctx context.Context, req *netsyncv1.AttachRequest) (*netsyncv1.AttachResponse, error) {
	pod, err := podOf(ctx, req.GetPod())
	if err != nil {
		return nil, err
	}
	result, err := s.attachments.Attach(ctx, requestOf(pod, req))
	if err != nil {
		return nil, err
	}
	resp := &netsyncv1.AttachResponse{Ips: result.IPs, ResultJson: string(result.CNI)}
	for _, i := range result.Interfaces {
		resp.Interfaces = append(resp.Interfaces, &netsyncv1.Interface{Name: i.Name, Mac: i.MAC, Sandbox: i.Sandbox})
	}
	return resp, nil
}

// Detach takes a pod off. Called by StopPodSandbox and RemovePodSandbox;
// idempotent.
func (s *Server) Detach(ctx context.Context, req *netsyncv1.DetachRequest) (*netsyncv1.DetachResponse, error) {
	pod, err := podOf(ctx, req.GetPod())
	if err != nil {
		return nil, err
	}
	if err := s.attachments.Detach(ctx, pod.ID); err != nil {
		return nil, err
	}
	return &netsyncv1.DetachResponse{}, nil
}

// Check runs the CNI verb CHECK on an attached pod. It changes nothing.
func (s *Server) Check(ctx context.Context, req *netsyncv1.CheckRequest) (*netsyncv1.CheckResponse, error) {
	if err := s.attachments.Check(ctx, req.GetPodId()); err != nil {
		return nil, err
	}
	return &netsyncv1.CheckResponse{}, nil
}

// Sweep tears down the attachments of pods that do not exist. Called by the
// runtime after its recovery; idempotent.
func (s *Server) Sweep(ctx context.Context, req *netsyncv1.SweepRequest) (*netsyncv1.SweepResponse, error) {
	asOf := time.Now()
	if stamp := req.GetAsOf(); stamp != nil {
		if err := stamp.CheckValid(); err != nil {
			return nil, fmt.Errorf("as_of: %w: %w", err, errdefs.ErrInvalidArgument)
		}
		asOf = stamp.AsTime()
	}
	removed, err := s.attachments.Sweep(ctx, req.GetPodIds(), asOf)
	if err != nil {
		return nil, err
	}
	return &netsyncv1.SweepResponse{Removed: removed}, nil
}

// SetPodCIDR records the node's pod CIDRs. Called by UpdateRuntimeConfig;
// idempotent.
func (s *Server) SetPodCIDR(ctx context.Context, req *netsyncv1.SetPodCIDRRequest) (*netsyncv1.SetPodCIDRResponse, error) {
	if err := s.cidrs.Set(ctx, req.GetCidrs()); err != nil {
		return nil, err
	}
	return &netsyncv1.SetPodCIDRResponse{}, nil
}

// WatchStatus sends the state at once and after every change.
func (s *Server) WatchStatus(_ *netsyncv1.WatchStatusRequest, stream grpc.ServerStreamingServer[netsyncv1.WatchStatusResponse]) error {
	for {
		state, changed := s.board.Watch()
		if err := stream.Send(responseOf(state)); err != nil {
			return fmt.Errorf("send status: %w", err)
		}
		select {
		case <-changed:
		case <-s.stopping:
			return nil
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// podOf checks that there is a pod and puts it on the span of the RPC.
func podOf(ctx context.Context, pod *netsyncv1.Pod) (ledger.Pod, error) {
	if pod == nil {
		return ledger.Pod{}, fmt.Errorf("pod is missing: %w", errdefs.ErrInvalidArgument)
	}
	telemetry.Pod(ctx, pod.GetId(), pod.GetNamespace(), pod.GetName(), pod.GetUid())
	return ledger.Pod{ID: pod.GetId(), Namespace: pod.GetNamespace(), Name: pod.GetName(), UID: pod.GetUid()}, nil
}

func responseOf(state *status.State) *netsyncv1.WatchStatusResponse {
	resp := &netsyncv1.WatchStatusResponse{
		Ready: state.Ready, Reason: state.Reason, Message: state.Message, ConfigError: state.ConfigError,
		Attachments: int32(min(state.Attachments, 1<<31-1)), //nolint:gosec // bounded
		ChangedAt:   timestamppb.New(state.ChangedAt),
	}
	for _, group := range state.Groups {
		for _, n := range group.Networks {
			resp.Networks = append(resp.Networks, &netsyncv1.Network{Name: n.Name, File: n.File, Plugins: n.Plugins, Group: group.Name})
		}
	}
	return resp
}
