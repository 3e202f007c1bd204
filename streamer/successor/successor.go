// Package successor is a draining process's way to the streamer that has the
// pumps now, whichever that is: it is found by its socket.
package successor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/trivet-cri/trivet/internal/rpc"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// closeLimit is how long a successor may take to come and close a stdin.
const closeLimit = time.Minute

// Client implements pump.Successor. It is safe for concurrent use.
type Client struct {
	conn   *grpc.ClientConn
	client streamerv1.StreamerClient
}

// Dial returns a client of whoever serves the unix socket at path. It does not
// connect before the first call.
func Dial(path string) (*Client, error) {
	conn, err := rpc.Dial(path)
	if err != nil {
		return nil, err
	}
	return &Client{conn, streamerv1.NewStreamerClient(conn)}, nil
}

// Follow gives take each message until the stream ends or take fails. It does
// not wait for a successor. Errors: ErrUnavailable (nobody serves), those of
// the RPC, and take's.
func (c *Client) Follow(ctx context.Context, r *streamerv1.FollowRequest, take func(*streamerv1.FollowResponse) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream when take has failed
	// A successor appears any moment: it must not sit out the pause that
	// earlier failures have earned.
	c.conn.ResetConnectBackoff()
	stream, err := c.client.Follow(ctx, r, grpc.WaitForReady(false))
	if err != nil {
		return fmt.Errorf("follow container %s: %w", r.GetContainerId(), err)
	}
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("follow container %s: %w", r.GetContainerId(), err)
		}
		if err := take(event); err != nil {
			return err
		}
	}
}

// CloseStdin waits for a successor.
func (c *Client) CloseStdin(ctx context.Context, container string) error {
	ctx, cancel := context.WithTimeout(ctx, closeLimit)
	defer cancel()
	_, err := c.client.CloseStdin(ctx, &streamerv1.CloseStdinRequest{ContainerId: container})
	if err != nil {
		return fmt.Errorf("close stdin of container %s: %w", container, err)
	}
	return nil
}

// Close ends the connection; calls under way fail.
func (c *Client) Close() error { return c.conn.Close() }
