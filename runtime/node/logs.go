package node

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// logsWritten is the type of the condition.
const logsWritten = "ContainerLogsWritten"

// Streamer tells of logs; streamerv1.StreamerClient does.
type Streamer interface {
	ListTroubledLogs(ctx context.Context, r *streamerv1.ListTroubledLogsRequest, opts ...grpc.CallOption) (*streamerv1.ListTroubledLogsResponse, error)
}

// Logs is what streamer says of containers' logs, as of a moment ago: who
// asks never waits for it.
type Logs struct {
	streamer Streamer
	log      *slog.Logger
	last     atomic.Pointer[streamerv1.ListTroubledLogsResponse]
}

// NewLogs returns logs without trouble.
func NewLogs(streamer Streamer, log *slog.Logger) *Logs {
	l := &Logs{streamer: streamer, log: log}
	l.last.Store(&streamerv1.ListTroubledLogsResponse{})
	return l
}

// Status is the newest answer. It must not be changed.
func (l *Logs) Status() *streamerv1.ListTroubledLogsResponse { return l.last.Load() }

// Run asks streamer until ctx ends. While streamer does not answer, which the
// launcher sees to, its last answer stays.
func (l *Logs) Run(ctx context.Context) error { return regularly(ctx, l.check) }

func (l *Logs) check(ctx, limited context.Context) {
	reply, err := l.streamer.ListTroubledLogs(limited, &streamerv1.ListTroubledLogsRequest{})
	if err != nil {
		l.log.DebugContext(ctx, "streamer does not tell of logs", "error", err)
		return
	}
	l.last.Store(reply)
}

// Condition is the node's, of all logs together. A log whose container only
// waits for its rate limit is as it should be.
func (l *Logs) Condition() *runtimeapi.RuntimeCondition {
	condition := &runtimeapi.RuntimeCondition{Type: logsWritten, Status: true}
	bad := 0
	for _, log := range l.Status().GetLogs() {
		if log.GetState() == streamerv1.TroubledLog_STATE_LIMITED {
			continue
		}
		bad++
		if condition.Reason == "" || log.GetState() == streamerv1.TroubledLog_STATE_DROPPED && condition.Reason != "LogsDropped" {
			condition.Reason = "LogsHeldBack"
			if log.GetState() == streamerv1.TroubledLog_STATE_DROPPED {
				condition.Reason = "LogsDropped"
			}
			condition.Message = fmt.Sprintf("%s: %s", log.GetLogPath(), log.GetError())
		}
	}
	if bad == 0 {
		return condition
	}
	condition.Status = false
	condition.Message = fmt.Sprintf("%d logs cannot be written, %d bytes are dropped; one is %s", bad, l.Status().GetDroppedBytes(), condition.Message)
	return condition
}
