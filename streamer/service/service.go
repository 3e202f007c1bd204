// Package service is the streamer's gRPC service: it checks what arrives,
// and calls whoever does it. Errors carry errdefs kinds.
package service

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/pump"
	"github.com/trivet-cri/trivet/streamer/session"
)

// Opener makes and removes containers' streams.
type Opener interface {
	Open(ctx context.Context, r *streamerv1.OpenIORequest) (*streamerv1.OpenIOResponse, error)
	Close(ctx context.Context, id string, drain time.Duration) (drained bool, err error)
	Sweep(ctx context.Context, keep []string, asOf time.Time) (removed []string, err error)
}

// Logs looks after the containers that are open.
type Logs interface {
	Reopen(ctx context.Context, id string) error
	Info(id string) (pump.Info, bool)
	Count() int
	Troubles() (troubles []pump.Trouble, dropped uint64)
}

// Pumps is the log pump.
type Pumps interface {
	Opener
	Logs
	Followed
}

// Commands runs a command and returns its output.
type Commands interface {
	Sync(ctx context.Context, r *streamerv1.ExecSyncRequest) (*streamerv1.ExecSyncResponse, error)
}

// Ports finds what is wrong with a port-forward before a client comes.
type Ports interface {
	Check(r *streamerv1.PreparePortForwardRequest) error
}

// URLs gives out the streaming server's URLs.
type URLs interface {
	URL(ctx context.Context, kind session.Kind, request any) (string, error)
}

// Service implements streamerv1.StreamerServer.
type Service struct {
	streamerv1.UnimplementedStreamerServer
	pumps    Pumps
	commands Commands
	ports    Ports
	urls     URLs
	sessions *session.Set

	generations Generations
}

// New returns the service.
func New(pumps Pumps, commands Commands, ports Ports, urls URLs, sessions *session.Set, generations Generations) *Service {
	return &Service{pumps: pumps, commands: commands, ports: ports, urls: urls, sessions: sessions, generations: generations}
}

// ExecSync implements the RPC.
func (s *Service) ExecSync(ctx context.Context, r *streamerv1.ExecSyncRequest) (*streamerv1.ExecSyncResponse, error) {
	session.Mark(ctx, r.GetContainer())
	if err := checkCommand(r.GetContainer(), r.GetCmd()); err != nil {
		return nil, err
	}
	if r.GetTimeout().AsDuration() < 0 {
		return nil, fmt.Errorf("timeout %v is negative: %w", r.GetTimeout().AsDuration(), errdefs.ErrInvalidArgument)
	}
	ctx, running, err := s.sessions.Begin(ctx, session.Info{
		Kind: session.ExecSync, Subject: r.GetContainer(), Command: session.Program(r.GetCmd()),
	})
	if err != nil {
		return nil, err
	}
	var outcome error
	defer func() { running.End(outcome) }()
	response, err := s.commands.Sync(ctx, r)
	running.Sent(len(response.GetStdout()) + len(response.GetStderr()))
	if outcome = err; err == nil && response.GetExitCode() != 0 {
		outcome = session.ErrExitCode
	}
	return response, err
}

func checkLogPath(path string) error {
	if path != "" && (!filepath.IsAbs(path) || filepath.Clean(path) != path) {
		return fmt.Errorf("log_path %q is not an absolute, clean path: %w", path, errdefs.ErrInvalidArgument)
	}
	return nil
}
