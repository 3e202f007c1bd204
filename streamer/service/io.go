package service

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/ident"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/session"
)

// OpenIO implements the RPC.
func (s *Service) OpenIO(ctx context.Context, r *streamerv1.OpenIORequest) (*streamerv1.OpenIOResponse, error) {
	session.Mark(ctx, r.GetContainer())
	if err := ident.Check("container.id", r.GetContainer().GetId()); err != nil {
		return nil, err
	}
	if err := checkLogPath(r.GetLogPath()); err != nil {
		return nil, err
	}
	return s.pumps.Open(ctx, r)
}

// CloseIO implements the RPC.
func (s *Service) CloseIO(ctx context.Context, r *streamerv1.CloseIORequest) (*streamerv1.CloseIOResponse, error) {
	if err := ident.Check("container_id", r.GetContainerId()); err != nil {
		return nil, err
	}
	drain := r.GetDrainTimeout().AsDuration()
	if drain < 0 {
		return nil, fmt.Errorf("drain_timeout %v is negative: %w", drain, errdefs.ErrInvalidArgument)
	}
	drained, err := s.pumps.Close(ctx, r.GetContainerId(), drain)
	if err != nil && !errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("close streams of container %q: %w", r.GetContainerId(), err)
	}
	return &streamerv1.CloseIOResponse{Drained: drained || errdefs.IsNotFound(err)}, nil
}

// ReopenLog implements the RPC.
func (s *Service) ReopenLog(ctx context.Context, r *streamerv1.ReopenLogRequest) (*streamerv1.ReopenLogResponse, error) {
	if err := ident.Check("container_id", r.GetContainerId()); err != nil {
		return nil, err
	}
	if err := s.pumps.Reopen(ctx, r.GetContainerId()); err != nil {
		return nil, fmt.Errorf("reopen log of container %q: %w", r.GetContainerId(), err)
	}
	return &streamerv1.ReopenLogResponse{}, nil
}

// Sweep implements the RPC. A malformed id would be somebody's container all
// the same, so nothing is swept then.
func (s *Service) Sweep(ctx context.Context, r *streamerv1.SweepRequest) (*streamerv1.SweepResponse, error) {
	for i, id := range r.GetContainerIds() {
		if err := ident.Check(fmt.Sprintf("container_ids[%d]", i), id); err != nil {
			return nil, err
		}
	}
	asOf := time.Now()
	if r.GetAsOf() != nil {
		asOf = r.GetAsOf().AsTime()
	}
	removed, err := s.pumps.Sweep(ctx, r.GetContainerIds(), asOf)
	if err != nil {
		return nil, fmt.Errorf("sweep streams: %w", err)
	}
	return &streamerv1.SweepResponse{Removed: removed}, nil
}
