package service

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/ident"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/session"
	"github.com/trivet-cri/trivet/streamer/shimio"
)

// PrepareExec implements the RPC.
func (s *Service) PrepareExec(ctx context.Context, r *streamerv1.PrepareExecRequest) (*streamerv1.PrepareExecResponse, error) {
	session.Mark(ctx, r.GetContainer())
	if err := checkCommand(r.GetContainer(), r.GetCmd()); err != nil {
		return nil, err
	}
	if err := checkStreams(r); err != nil {
		return nil, err
	}
	url, err := s.urls.URL(ctx, session.Exec, r)
	if err != nil {
		return nil, err
	}
	return &streamerv1.PrepareExecResponse{Url: url}, nil
}

// PrepareAttach implements the RPC.
func (s *Service) PrepareAttach(ctx context.Context, r *streamerv1.PrepareAttachRequest) (*streamerv1.PrepareAttachResponse, error) {
	session.Mark(ctx, r.GetContainer())
	id := r.GetContainer().GetId()
	if err := ident.Check("container.id", id); err != nil {
		return nil, err
	}
	if err := checkStreams(r); err != nil {
		return nil, err
	}
	info, ok := s.pumps.Info(id)
	if !ok {
		return nil, fmt.Errorf("container %q has no open streams: %w", id, errdefs.ErrNotFound)
	}
	if info.TTY != r.GetTty() {
		return nil, fmt.Errorf("tty is %t, but that of container %q is %t: %w", r.GetTty(), id, info.TTY, errdefs.ErrInvalidArgument)
	}
	url, err := s.urls.URL(ctx, session.Attach, r)
	if err != nil {
		return nil, err
	}
	return &streamerv1.PrepareAttachResponse{Url: url}, nil
}

// PreparePortForward implements the RPC.
func (s *Service) PreparePortForward(ctx context.Context, r *streamerv1.PreparePortForwardRequest) (*streamerv1.PreparePortForwardResponse, error) {
	session.Mark(ctx, session.PodOf(r))
	if err := ident.Check("pod_id", r.GetPodId()); err != nil {
		return nil, err
	}
	if err := s.ports.Check(r); err != nil {
		return nil, err
	}
	url, err := s.urls.URL(ctx, session.PortForward, r)
	if err != nil {
		return nil, err
	}
	return &streamerv1.PreparePortForwardResponse{Url: url}, nil
}

// ListSessions implements the RPC.
func (s *Service) ListSessions(ctx context.Context, _ *streamerv1.ListSessionsRequest) (*streamerv1.ListSessionsResponse, error) {
	older := s.generations.Draining.Sessions(ctx)
	return &streamerv1.ListSessionsResponse{Pumps: int32(s.pumps.Count()), Sessions: append(older, s.sessions.Messages()...)}, nil
}

// asked is what exec and attach requests have in common.
type asked interface {
	GetTty() bool
	GetStdin() bool
	GetStdout() bool
	GetStderr() bool
}

func checkStreams(r asked) error {
	if !r.GetStdin() && !r.GetStdout() && !r.GetStderr() {
		return fmt.Errorf("stdin, stdout and stderr are all false: %w", errdefs.ErrInvalidArgument)
	}
	if r.GetTty() && r.GetStderr() {
		return fmt.Errorf("stderr is true, but a terminal has none: %w", errdefs.ErrInvalidArgument)
	}
	return nil
}

func checkCommand(c *streamerv1.Container, cmd []string) error {
	if err := ident.Check("container.id", c.GetId()); err != nil {
		return err
	}
	if err := shimio.Check(c.GetStreamEndpoint()); err != nil {
		return err
	}
	if len(cmd) == 0 || cmd[0] == "" {
		return fmt.Errorf("cmd is empty: %w", errdefs.ErrInvalidArgument)
	}
	return nil
}
