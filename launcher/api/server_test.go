package api_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/trivet-cri/trivet/internal/version"
	"github.com/trivet-cri/trivet/launcher/api"
	"github.com/trivet-cri/trivet/launcher/supervisor"
	launcherv1 "github.com/trivet-cri/trivet/proto/launcher/v1"
)

// group is what the API stands on.
type group struct {
	now    supervisor.Snapshot
	reason string
	err    error
}

func (g *group) Snapshot() supervisor.Snapshot { return g.now }

func (g *group) Restart(_ context.Context, reason string, _ *supervisor.Plan) (int64, error) {
	g.reason = reason
	return 8, g.err
}

func (g *group) Reload(context.Context) (int64, error) { return 9, g.err }

func TestStatusHasEverything(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	g := &group{now: supervisor.Snapshot{
		Generation: 3, Restarts: 2,
		Members: []supervisor.MemberStatus{
			{Name: "netsync", State: supervisor.Stopped, LastExit: "exit code 1"},
			{Name: "runtime", PID: 5, State: supervisor.Serving, Critical: true, StartedAt: at, Restarts: 2},
		},
		Elders:  []supervisor.Elder{{Name: "streamer", PID: 5, Generation: 2, Since: at, Draining: true}},
		History: []supervisor.Restart{{At: at, Reason: "why", Generation: 3}},
	}}
	server := api.NewServer(g, g, api.About{ConfigPath: "/a", CRISocket: "/b", StartedAt: at})
	got, err := server.Status(t.Context(), &launcherv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want := &launcherv1.StatusResponse{
		Generation: 3, Restarts: 2,
		Members: []*launcherv1.Member{
			{Name: "netsync", State: "stopped", LastExit: "exit code 1"},
			{Name: "runtime", Pid: 5, State: "serving", Critical: true, StartedAt: timestamppb.New(at), Restarts: 2},
		},
		Elders:  []*launcherv1.Elder{{Name: "streamer", Pid: 5, Generation: 2, Since: timestamppb.New(at), Draining: true}},
		History: []*launcherv1.Restart{{At: timestamppb.New(at), Reason: "why", Generation: 3}},
		Version: version.String(), StartedAt: timestamppb.New(at), ConfigPath: "/a", CriSocket: "/b", Pid: int32(os.Getpid()),
	}
	if !proto.Equal(got, want) {
		t.Errorf("status is\n%s\nwant\n%s", prototext.Format(got), prototext.Format(want))
	}
}

func TestRestartAndReload(t *testing.T) {
	t.Parallel()
	for request, reason := range map[string]string{"": "restart requested", "why": "restart requested: why"} {
		g := &group{}
		response, err := api.NewServer(g, g, api.About{}).Restart(t.Context(), &launcherv1.RestartRequest{Reason: request})
		if err != nil || response.GetGeneration() != 8 || g.reason != reason {
			t.Errorf("restart for %q: %v, %v, reason %q", request, response, err, g.reason)
		}
	}
	g := &group{}
	if response, err := api.NewServer(g, g, api.About{}).Reload(t.Context(), nil); err != nil || response.GetGeneration() != 9 {
		t.Errorf("reload: %v, %v", response, err)
	}
	g.err = errors.New("no luck")
	server := api.NewServer(g, g, api.About{})
	if _, err := server.Restart(t.Context(), nil); !errors.Is(err, g.err) {
		t.Errorf("restart: %v", err)
	}
	if _, err := server.Reload(t.Context(), nil); !errors.Is(err, g.err) {
		t.Errorf("reload: %v", err)
	}
}
