package handover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/internal/listen"
	"github.com/trivet-cri/trivet/internal/rpc"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/session"
)

const (
	// extension of the sockets of draining processes; the name is the pid.
	extension = ".sock"
	// askLimit is how long a draining process may take to list its sessions.
	askLimit = time.Second
	// stopLimit is what its last answers may take.
	stopLimit = time.Second
)

// ServeDraining lists the sessions of this process, which has handed over, on a
// socket of its own in dir until ctx ends.
func ServeDraining(ctx context.Context, dir string, sessions *session.Set, log *slog.Logger) error {
	path := filepath.Join(dir, strconv.Itoa(os.Getpid())+extension)
	listener, err := listen.BindUnix(path)
	if err != nil {
		// Worth no session's end: they are only not listed.
		log.WarnContext(ctx, "sessions of this draining process are not listed", "error", err)
		return nil
	}
	defer func() { _ = os.Remove(path) }() // whoever lists removes it otherwise
	server := rpc.NewServer(log)
	streamerv1.RegisterStreamerServer(server, drainingService{sessions: sessions})
	server.SetReady()
	return server.ServeUntil(ctx, listener, stopLimit)
}

// drainingService answers one question.
type drainingService struct {
	streamerv1.UnimplementedStreamerServer
	sessions *session.Set
}

// ListSessions implements the RPC.
func (s drainingService) ListSessions(context.Context, *streamerv1.ListSessionsRequest) (*streamerv1.ListSessionsResponse, error) {
	return &streamerv1.ListSessionsResponse{Sessions: s.sessions.Messages()}, nil
}

// Draining is the directory of the draining processes' sockets.
type Draining struct {
	dir string
	log *slog.Logger
}

// NewDraining returns the processes that have their sockets in dir.
func NewDraining(dir string, log *slog.Logger) *Draining { return &Draining{dir, log} }

// Sessions are those of all draining processes. One that does not answer is
// left out; the sockets of dead ones are removed.
func (d *Draining) Sessions(ctx context.Context) []*streamerv1.Session {
	paths, err := filepath.Glob(filepath.Join(d.dir, "*"+extension))
	if err != nil {
		return nil // the pattern is good
	}
	lists := make([][]*streamerv1.Session, len(paths))
	var asking errgroup.Group
	for i, path := range paths {
		asking.Go(func() error {
			if listen.RemoveStale(path) == nil {
				return nil // nobody serves it
			}
			list, err := ask(ctx, path)
			if err != nil {
				d.log.WarnContext(ctx, "sessions of a draining streamer are not listed", "socket", path, "error", err)
			}
			lists[i] = list
			return nil
		})
	}
	_ = asking.Wait() // its functions return nil
	var all []*streamerv1.Session
	for _, list := range lists {
		for _, s := range list {
			s.Draining = true
			all = append(all, s)
		}
	}
	return all
}

func ask(ctx context.Context, path string) (list []*streamerv1.Session, err error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	conn, err := rpc.Dial(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	reply, err := streamerv1.NewStreamerClient(conn).ListSessions(ctx, &streamerv1.ListSessionsRequest{})
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return reply.GetSessions(), nil
}
