package activity_test

import (
	"context"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	"github.com/trivet-cri/trivet/launcher/activity"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// streamer is one with a session.
type streamer struct {
	streamerv1.UnimplementedStreamerServer
}

func (streamer) ListSessions(context.Context, *streamerv1.ListSessionsRequest) (*streamerv1.ListSessionsResponse, error) {
	return &streamerv1.ListSessionsResponse{Sessions: []*streamerv1.Session{{Kind: "exec"}}, Pumps: 3}, nil
}

func TestSessions(t *testing.T) {
	t.Parallel()
	listener, socket := listen(t)
	server := grpc.NewServer()
	streamerv1.RegisterStreamerServer(server, streamer{})
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	list, err := activity.Sessions(t.Context(), socket)
	if err != nil || len(list.GetSessions()) != 1 || list.GetPumps() != 3 {
		t.Errorf("list %v, error %v", list, err)
	}
	server.Stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := activity.Sessions(ctx, socket); !errdefs.IsUnavailable(err) {
		t.Errorf("without a streamer: %v", err)
	}
}
