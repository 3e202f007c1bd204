package main_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/trivet-cri/trivet/internal/listen"
	"github.com/trivet-cri/trivet/internal/member"
	"github.com/trivet-cri/trivet/internal/rpc"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// A fake member is this test binary under a member's name. It serves health
// and its inherited listener, notes its life in the file events in the state
// directory, and behaves as the file NAME.behaviour there says:
//
//	exit            fail at once, for the reason that stands behind it
//	slow            serve only after the file go exists
//	refuse          never serve
//	deaf            ignore SIGTERM
//
// SIGUSR1 makes it write very long lines, SIGUSR2 not serve.
type fakeMember struct {
	name   string
	env    member.Env
	server *rpc.Server
	lock   *os.File
}

// fakeSessions is a streamer with one session.
type fakeSessions struct {
	streamerv1.UnimplementedStreamerServer
}

func (fakeSessions) ListSessions(context.Context, *streamerv1.ListSessionsRequest) (*streamerv1.ListSessionsResponse, error) {
	subject := &streamerv1.Container{PodNamespace: "shop", PodName: "web"}
	return &streamerv1.ListSessionsResponse{Sessions: []*streamerv1.Session{{Kind: "exec", Subject: subject}}, Pumps: 7}, nil
}

func runFakeMember(program string) {
	name := strings.TrimPrefix(program, "trivet-")
	member.Main(name, "a member for tests", func(ctx context.Context, env member.Env) error {
		m := &fakeMember{name: name, env: env, server: rpc.NewServer(env.Log)}
		if name == "streamer" {
			streamerv1.RegisterStreamerServer(m.server, fakeSessions{})
		}
		return m.run(ctx)
	})
}

func (m *fakeMember) run(ctx context.Context) error {
	cfg := m.env.Config
	if err := m.note("started"); err != nil {
		return err
	}
	behaviour, _ := os.ReadFile(filepath.Join(cfg.State, m.name+".behaviour"))
	verb, rest, _ := strings.Cut(strings.TrimSpace(string(behaviour)), " ")
	switch verb {
	case "exit":
		return errors.New(rest)
	case "deaf":
		ctx = context.WithoutCancel(ctx)
	}
	if m.name == "streamer" {
		if err := m.awaitPredecessor(ctx); err != nil {
			return err
		}
	}
	socket, err := listen.BindUnix(map[string]string{
		"netsync": cfg.NetSyncSocket(), "streamer": cfg.StreamerSocket(), "runtime": cfg.HealthSocket(),
	}[m.name])
	if err != nil {
		return err
	}
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return m.server.ServeUntil(ctx, socket, time.Second) })
	tasks.Go(func() error { return m.obey(ctx) })
	tasks.Go(func() error { return m.greet(ctx) })
	if verb == "slow" {
		for _, err := os.Stat(filepath.Join(cfg.State, "go")); err != nil; _, err = os.Stat(filepath.Join(cfg.State, "go")) {
			if ctx.Err() != nil {
				return tasks.Wait()
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	if verb != "refuse" {
		if err := m.note("serves"); err != nil {
			return err
		}
		m.server.SetReady()
	}
	err = tasks.Wait()
	return errors.Join(err, m.note("stopped"))
}

// awaitPredecessor returns when no other streamer runs. It starts while its
// predecessor works.
func (m *fakeMember) awaitPredecessor(ctx context.Context) error {
	lock, err := os.OpenFile(filepath.Join(m.env.Config.State, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	m.lock = lock // until the process ends
	for unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// greet answers each client of the inherited listener with this process's pid.
func (m *fakeMember) greet(ctx context.Context) error {
	var listener net.Listener
	var err error
	switch m.name {
	case "runtime":
		listener, err = m.env.Inherited.Unix("cri", "/not/inherited")
	case "streamer":
		listener, err = m.env.Inherited.TCP("stream", "not inherited")
	default:
		if len(m.env.Inherited) > 0 {
			return fmt.Errorf("inherited %v", m.env.Inherited)
		}
		return nil
	}
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return nil
		}
		_, _ = fmt.Fprintf(conn, "%s %d\n", m.name, os.Getpid())
		_ = conn.Close()
	}
}

// obey does what signals say.
func (m *fakeMember) obey(ctx context.Context) error {
	commands := make(chan os.Signal, 1)
	signal.Notify(commands, unix.SIGUSR1, unix.SIGUSR2)
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-commands:
			if s == unix.SIGUSR2 {
				m.server.Health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
				continue
			}
			for i := range longLines {
				fmt.Fprintln(os.Stderr, longLine(m.name, i))
			}
			if err := m.note("wrote"); err != nil {
				return err
			}
		}
	}
}

// Long lines are longer than a pipe's buffer, so that a write takes several
// turns with the reader.
const longLines = 20

func longLine(name string, i int) string {
	return fmt.Sprintf("LONG %s %d %s END", name, i, strings.Repeat(name[:1], 200_000))
}

func (m *fakeMember) note(what string) error {
	f, err := os.OpenFile(filepath.Join(m.env.Config.State, "events"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s %s\n", m.name, what)
	return errors.Join(err, f.Close())
}
