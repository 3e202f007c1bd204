// Command trivet-streamer moves every byte in or out of a container: logs,
// exec, attach and port-forward.
//
// It serves without waiting for containerd: the logs of running containers
// need it not, and calls that do say that it is away.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/member"
	"github.com/trivet-cri/trivet/internal/rpc"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/attach"
	"github.com/trivet-cri/trivet/streamer/engine"
	"github.com/trivet-cri/trivet/streamer/exec"
	"github.com/trivet-cri/trivet/streamer/forward"
	"github.com/trivet-cri/trivet/streamer/keeper"
	"github.com/trivet-cri/trivet/streamer/pump"
	"github.com/trivet-cri/trivet/streamer/server"
	"github.com/trivet-cri/trivet/streamer/service"
	"github.com/trivet-cri/trivet/streamer/session"
)

// grace is what calls and sessions under way get when the process is told to
// stop. It is short: the group's restart waits for it.
const grace = 2 * time.Second

func main() {
	keeper.Main()
	member.Main("streamer", "Trivet's logs, exec, attach and port-forward", run)
}

func run(ctx context.Context, env member.Env) (err error) {
	cfg := env.Config
	quiet(env.Log)
	containerd, err := engine.New(cfg.Containerd.Socket, cfg.ContainerdState(), cfg.Containerd.Namespace, cfg.Containerd.RequestTimeout.Std())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, containerd.Close()) }()
	pumps, err := pump.New(filepath.Join(cfg.State, "io"), pump.Config{
		PipeSize: cfg.Streamer.PipeSize, RateLimit: cfg.Streamer.LogRateLimit,
		MaxSize: int64(cfg.Streamer.LogMaxSize), MaxFiles: cfg.Streamer.LogMaxFiles,
	}, env.Log)
	if err != nil {
		return err
	}
	execs, err := exec.New(filepath.Join(cfg.State, "exec"), containerd, exec.Config{
		OutputLimit: cfg.Streamer.ExecSyncOutputLimit, Drain: cfg.Streamer.ExecSyncDrain.Std(),
		PerContainer: cfg.Streamer.ExecsPerContainer,
	}, env.Log)
	if err != nil {
		return err
	}
	forwarder := forward.Forwarder{}
	served, err := streaming(cfg.Streamer, env.Log)
	if err != nil {
		return err
	}
	streams, err := env.Inherited.TCP("stream", net.JoinHostPort(cfg.Streamer.Address, strconv.Itoa(cfg.Streamer.Port)))
	if err != nil {
		return err
	}
	socket, err := env.Inherited.Unix("streamer", cfg.StreamerSocket())
	if err != nil {
		return errors.Join(err, streams.Close())
	}

	starter := keeper.NewStarter(filepath.Join(cfg.State, "io"), env.Log)
	sessions := session.NewSet()
	http := server.New(streams, served, server.Handlers{
		Exec: execs, Attach: attach.New(pumps, containerd, env.Log), Forward: forwarder,
	}, session.NewTokens(time.Now), sessions, env.Log)
	grpc := rpc.NewServer(env.Log)
	streamerv1.RegisterStreamerServer(grpc, service.New(kept{pumps, starter}, execs, forwarder, http, sessions))
	env.Metrics.MustRegister(sessions.Metrics(), pumps.Metrics())
	env.Log.InfoContext(ctx, "serving streams", "address", streams.Addr().String(), "tls", served.TLS != nil)
	return serve(ctx, pumps, starter, execs, http, grpc, socket)
}

// serve runs everything until ctx ends or something fails. What others stand
// on ends after them: first the servers, then the commands, then the pumps.
func serve(ctx context.Context, pumps *pump.Pumps, starter *keeper.Starter, execs *exec.Execs, http *server.Server, grpc *rpc.Server, socket net.Listener) error {
	pumping, stopPumps := context.WithCancel(context.WithoutCancel(ctx))
	defer stopPumps()
	executing, stopExecs := context.WithCancel(context.WithoutCancel(ctx))
	defer stopExecs()
	base, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	base.Go(func() error { return early(ctx, "pumps", pumps.Run(pumping)) })
	base.Go(func() error { return starter.Run(ctx) })
	base.Go(func() error {
		defer stopPumps()
		return early(ctx, "commands", execs.Run(executing))
	})
	base.Go(func() error {
		defer stopExecs()
		defer stop()
		servers, ctx := errgroup.WithContext(ctx)
		servers.Go(func() error { return http.Serve(ctx) })
		servers.Go(func() error { return grpc.ServeUntil(ctx, socket, grace) })
		servers.Go(func() error {
			select {
			case <-pumps.Resumed():
				grpc.SetReady()
			case <-ctx.Done():
			}
			return nil
		})
		return servers.Wait()
	})
	return base.Wait()
}

// early turns the end of something that should still run into an error.
func early(ctx context.Context, what string, err error) error {
	if err == nil && ctx.Err() == nil {
		return fmt.Errorf("%s ended by themselves", what)
	}
	return err
}

// streaming is the server's configuration.
func streaming(cfg config.Streamer, log *slog.Logger) (server.Config, error) {
	base, err := cfg.Base()
	if err != nil {
		return server.Config{}, err
	}
	served := server.Config{
		IdleTimeout: cfg.IdleTimeout.Std(), CreationTimeout: cfg.CreationTimeout.Std(), DrainTimeout: grace,
		HeaderTimeout: cfg.HeaderTimeout.Std(), HeaderLimit: cfg.HeaderLimit, WaitingLimit: cfg.WaitingLimit, Base: base,
	}
	if !cfg.EnableTLS {
		return served, nil
	}
	security := server.Security{Cert: cfg.TLSCert, Key: cfg.TLSKey, ClientCA: cfg.TLSClientCA, Hosts: []string{cfg.Address}}
	if base != nil {
		security.Hosts = append(security.Hosts, base.Hostname())
	}
	if security.MinVersion, err = cfg.MinTLS(); err != nil {
		return server.Config{}, err
	}
	if security.CipherSuites, err = cfg.CipherSuites(); err != nil {
		return server.Config{}, err
	}
	served.TLS, err = server.TLS(security, log)
	return served, err
}
