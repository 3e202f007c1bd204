// Package api serves the launcher's gRPC API on top of the supervisor.
//
// Handlers translate and nothing more; a call of theirs that is cut off
// changes nothing in what it has asked for.
package api

import (
	"context"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/trivet-cri/trivet/internal/version"
	"github.com/trivet-cri/trivet/launcher/supervisor"
	launcherv1 "github.com/trivet-cri/trivet/proto/launcher/v1"
)

// Group is what is supervised.
type Group interface {
	// Snapshot is the group as it is now.
	Snapshot() supervisor.Snapshot
	// Restart starts a new generation and returns its number when it serves.
	Restart(ctx context.Context, reason string, plan *supervisor.Plan) (int64, error)
}

// Reloader takes the configuration over into a new generation.
type Reloader interface {
	Reload(ctx context.Context) (int64, error)
}

// About is what does not change while the launcher runs.
type About struct {
	ConfigPath string
	CRISocket  string
	StartedAt  time.Time
}

// Server implements launcherv1.LauncherServer.
type Server struct {
	launcherv1.UnimplementedLauncherServer
	group    Group
	reloader Reloader
	about    About
}

// NewServer returns a server over group.
func NewServer(group Group, reloader Reloader, about About) *Server {
	return &Server{group: group, reloader: reloader, about: about}
}

// Status returns the members and the history of restarts.
func (s *Server) Status(context.Context, *launcherv1.StatusRequest) (*launcherv1.StatusResponse, error) {
	now := s.group.Snapshot()
	response := &launcherv1.StatusResponse{
		Generation: now.Generation, Restarts: int32(now.Restarts),
		Version: version.String(), StartedAt: timestamppb.New(s.about.StartedAt),
		ConfigPath: s.about.ConfigPath, CriSocket: s.about.CRISocket, Pid: int32(os.Getpid()),
	}
	for _, m := range now.Members {
		member := &launcherv1.Member{
			Name: m.Name, Pid: int32(m.PID), State: string(m.State), Critical: m.Critical,
			Restarts: int32(m.Restarts), LastExit: m.LastExit, Socket: m.Socket,
		}
		if !m.StartedAt.IsZero() {
			member.StartedAt = timestamppb.New(m.StartedAt)
		}
		response.Members = append(response.Members, member)
	}
	for _, e := range now.Elders {
		response.Elders = append(response.Elders, &launcherv1.Elder{
			Name: e.Name, Pid: int32(e.PID), Generation: e.Generation, Since: timestamppb.New(e.Since), Draining: e.Draining,
		})
	}
	for _, r := range now.History {
		response.History = append(response.History, &launcherv1.Restart{
			At: timestamppb.New(r.At), Reason: r.Reason, Generation: r.Generation,
		})
	}
	return response, nil
}

// Restart starts a new generation of the whole group.
func (s *Server) Restart(ctx context.Context, request *launcherv1.RestartRequest) (*launcherv1.RestartResponse, error) {
	reason := "restart requested"
	if request.GetReason() != "" {
		reason += ": " + request.GetReason()
	}
	generation, err := s.group.Restart(ctx, reason, nil)
	if err != nil {
		return nil, err
	}
	return &launcherv1.RestartResponse{Generation: generation}, nil
}

// Reload reads the configuration again and starts a new generation with it.
func (s *Server) Reload(ctx context.Context, _ *launcherv1.ReloadRequest) (*launcherv1.ReloadResponse, error) {
	generation, err := s.reloader.Reload(ctx)
	if err != nil {
		return nil, err
	}
	return &launcherv1.ReloadResponse{Generation: generation}, nil
}
