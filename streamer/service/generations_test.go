package service_test

import (
	"context"
	"errors"
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// following is a stream that nothing is sent on.
type following struct {
	grpc.ServerStreamingServer[streamerv1.FollowResponse]
	ctx context.Context
}

func (f following) Context() context.Context { return f.ctx }

func TestGenerations(t *testing.T) {
	t.Parallel()
	s, f, _ := newService()
	ctx := t.Context()
	got, err := s.HandOver(ctx, &streamerv1.HandOverRequest{Pid: 7})
	if err != nil || got.GetPumps() != 2 {
		t.Errorf("handed over %v, error %v", got, err)
	}
	if err := s.Follow(&streamerv1.FollowRequest{ContainerId: "aa", Ticket: "t"}, following{ctx: ctx}); err != nil || f.followed != "t" {
		t.Errorf("followed %q, error %v", f.followed, err)
	}
	if _, err := s.CloseStdin(ctx, &streamerv1.CloseStdinRequest{ContainerId: "aa"}); err != nil {
		t.Error(err)
	}
	if err := s.Follow(&streamerv1.FollowRequest{ContainerId: "../x"}, following{ctx: ctx}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("follow: %v", err)
	}
	if _, err := s.CloseStdin(ctx, &streamerv1.CloseStdinRequest{}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("close stdin: %v", err)
	}
	f.err = errors.New("no luck")
	if _, err := s.HandOver(ctx, &streamerv1.HandOverRequest{}); !errors.Is(err, f.err) {
		t.Errorf("hand over: %v", err)
	}
	if _, err := s.CloseStdin(ctx, &streamerv1.CloseStdinRequest{ContainerId: "aa"}); !errors.Is(err, f.err) {
		t.Errorf("close stdin: %v", err)
	}
}
