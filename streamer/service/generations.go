package service

import (
	"context"

	"google.golang.org/grpc"

	"github.com/trivet-cri/trivet/internal/ident"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// Followed gives a draining predecessor what its clients need.
type Followed interface {
	Follow(ctx context.Context, r *streamerv1.FollowRequest, send func(*streamerv1.FollowResponse) error) error
	CloseStdin(ctx context.Context, id string) error
}

// HandOver gives everything to a successor.
type HandOver interface {
	Do(ctx context.Context, pid int) (*streamerv1.HandOverResponse, error)
}

// Draining are the processes of earlier generations.
type Draining interface {
	Sessions(ctx context.Context) []*streamerv1.Session
}

// Generations are what comes after this process, and what was before it.
type Generations struct {
	HandOver HandOver
	Draining Draining
}

// HandOver implements the RPC.
func (s *Service) HandOver(ctx context.Context, r *streamerv1.HandOverRequest) (*streamerv1.HandOverResponse, error) {
	return s.generations.HandOver.Do(ctx, int(r.GetPid()))
}

// Follow implements the RPC.
func (s *Service) Follow(r *streamerv1.FollowRequest, stream grpc.ServerStreamingServer[streamerv1.FollowResponse]) error {
	if err := ident.Check("container_id", r.GetContainerId()); err != nil {
		return err
	}
	return s.pumps.Follow(stream.Context(), r, stream.Send)
}

// CloseStdin implements the RPC.
func (s *Service) CloseStdin(ctx context.Context, r *streamerv1.CloseStdinRequest) (*streamerv1.CloseStdinResponse, error) {
	if err := ident.Check("container_id", r.GetContainerId()); err != nil {
		return nil, err
	}
	if err := s.pumps.CloseStdin(ctx, r.GetContainerId()); err != nil {
		return nil, err
	}
	return &streamerv1.CloseStdinResponse{}, nil
}
