package node_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/runtime/node"
)

// streamer is a fake: it answers with logs in these states, or not at all.
type streamer struct {
	reply atomic.Pointer[streamerv1.ListTroubledLogsResponse]
}

func (s *streamer) ListTroubledLogs(context.Context, *streamerv1.ListTroubledLogsRequest, ...grpc.CallOption) (*streamerv1.ListTroubledLogsResponse, error) {
	if reply := s.reply.Load(); reply != nil {
		return reply, nil
	}
	return nil, errdefs.ErrUnavailable
}

func (s *streamer) say(states ...streamerv1.TroubledLog_State) {
	reply := &streamerv1.ListTroubledLogsResponse{DroppedBytes: 12}
	for i, state := range states {
		reply.Logs = append(reply.Logs, &streamerv1.TroubledLog{LogPath: "/log" + string(rune('a'+i)), State: state, Error: "no space"})
	}
	s.reply.Store(reply)
}

func TestLogs(t *testing.T) {
	t.Parallel()
	const limited, held, dropped = streamerv1.TroubledLog_STATE_LIMITED, streamerv1.TroubledLog_STATE_HELD_BACK, streamerv1.TroubledLog_STATE_DROPPED
	synctest.Test(t, func(t *testing.T) {
		peer := &streamer{}
		logs := node.NewLogs(peer, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- logs.Run(ctx) }()
		check := func(what string, good bool, reason, message string) {
			t.Helper()
			time.Sleep(5 * time.Second)
			synctest.Wait()
			got := logs.Condition()
			if got.GetStatus() != good || got.GetReason() != reason || !strings.Contains(got.GetMessage(), message) || good && got.GetMessage() != "" {
				t.Errorf("%s: %v", what, got)
			}
		}
		check("nothing known", true, "", "")
		peer.say(limited)
		check("limited", true, "", "")
		peer.say(limited, held)
		check("held back", false, "LogsHeldBack", "1 logs cannot be written, 12 bytes are dropped; one is /logb: no space")
		peer.say(held, dropped, held)
		check("dropped", false, "LogsDropped", "3 logs cannot be written, 12 bytes are dropped; one is /logb: no space")
		peer.reply.Store(nil)
		check("streamer is away", false, "LogsDropped", "3 logs")
		peer.say()
		check("recovered", true, "", "")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
