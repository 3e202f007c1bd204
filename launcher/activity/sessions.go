package activity

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	"github.com/trivet-cri/trivet/internal/rpc"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// Sessions asks the streamer that serves its API on socket for the open
// sessions. Its errors are those of Ask.
func Sessions(ctx context.Context, socket string) (response *streamerv1.ListSessionsResponse, err error) {
	conn, err := rpc.Dial(socket)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	response, err = streamerv1.NewStreamerClient(conn).ListSessions(ctx, &streamerv1.ListSessionsRequest{}, grpc.WaitForReady(false))
	if err != nil {
		return nil, silence("streamer", socket, err)
	}
	return response, nil
}
