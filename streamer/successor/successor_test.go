package successor_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/trivet-cri/trivet/internal/listen"
	"github.com/trivet-cri/trivet/internal/rpc"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/successor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// streamer says what its fields are.
type streamer struct {
	streamerv1.UnimplementedStreamerServer
	events []*streamerv1.FollowResponse
	err    error
	closed chan string
}

func (s *streamer) Follow(_ *streamerv1.FollowRequest, stream grpc.ServerStreamingServer[streamerv1.FollowResponse]) error {
	for _, event := range s.events {
		if err := stream.Send(event); err != nil {
			return err
		}
	}
	return s.err
}

func (s *streamer) CloseStdin(_ context.Context, r *streamerv1.CloseStdinRequest) (*streamerv1.CloseStdinResponse, error) {
	s.closed <- r.GetContainerId()
	return &streamerv1.CloseStdinResponse{}, nil
}

func serve(t *testing.T, path string, s *streamer) {
	t.Helper()
	listener, err := listen.BindUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer(slog.New(slog.DiscardHandler))
	streamerv1.RegisterStreamerServer(server, s)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.ServeUntil(ctx, listener, 0) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func dial(t *testing.T, path string) *successor.Client {
	t.Helper()
	client, err := successor.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func output(text string) *streamerv1.FollowResponse {
	return &streamerv1.FollowResponse{Event: &streamerv1.FollowResponse_Output{Output: &streamerv1.Output{Data: []byte(text)}}}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.sock")
	client := dial(t, path)
	never := func(*streamerv1.FollowResponse) error { t.Error("something was said"); return nil }
	if err := client.Follow(t.Context(), &streamerv1.FollowRequest{}, never); !errdefs.IsUnavailable(err) {
		t.Errorf("without a successor: %v", err)
	}
	s := &streamer{events: []*streamerv1.FollowResponse{output("one"), output("two")}}
	serve(t, path, s)
	var heard string
	hear := func(event *streamerv1.FollowResponse) error {
		heard += string(event.GetOutput().GetData())
		return nil
	}
	var err error = errdefs.ErrUnavailable
	for errdefs.IsUnavailable(err) { // until it has noticed
		err = client.Follow(t.Context(), &streamerv1.FollowRequest{}, hear)
	}
	if err != nil || heard != "onetwo" {
		t.Errorf("heard %q, error %v", heard, err)
	}
	if err := client.Follow(t.Context(), &streamerv1.FollowRequest{}, func(*streamerv1.FollowResponse) error { return io.EOF }); !errors.Is(err, io.EOF) {
		t.Errorf("take's error became %v", err)
	}
}

func TestFollowRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.sock")
	serve(t, path, &streamer{err: errdefs.ErrNotFound})
	err := dial(t, path).Follow(t.Context(), &streamerv1.FollowRequest{}, func(*streamerv1.FollowResponse) error { return nil })
	if !errdefs.IsNotFound(err) {
		t.Errorf("error is %v", err)
	}
}

// TestCloseStdin waits for a successor.
func TestCloseStdin(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.sock")
	client := dial(t, path)
	ended := make(chan error, 1)
	go func() { ended <- client.CloseStdin(t.Context(), "aa") }()
	s := &streamer{closed: make(chan string, 1)}
	serve(t, path, s)
	if err := <-ended; err != nil || <-s.closed != "aa" {
		t.Errorf("error %v", err)
	}
}
