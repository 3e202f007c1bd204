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
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/member"
	"github.com/trivet-cri/trivet/internal/rpc"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/attach"
	"github.com/trivet-cri/trivet/streamer/engine"
	"github.com/trivet-cri/trivet/streamer/exec"
	"github.com/trivet-cri/trivet/streamer/forward"
	"github.com/trivet-cri/trivet/streamer/handover"
	"github.com/trivet-cri/trivet/streamer/journald"
	"github.com/trivet-cri/trivet/streamer/keeper"
	"github.com/trivet-cri/trivet/streamer/pump"
	"github.com/trivet-cri/trivet/streamer/server"
	"github.com/trivet-cri/trivet/streamer/service"
	"github.com/trivet-cri/trivet/streamer/session"
	"github.com/trivet-cri/trivet/streamer/successor"
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
	journal := journalOf(env)
	pumps, err := pump.New(filepath.Join(cfg.State, "io"), logging(cfg.Streamer, journal), env.Log)
	if err != nil {
		return err
	}
	execs, err := exec.New(filepath.Join(cfg.State, "exec"), containerd, executing(cfg.Streamer), env.Log)
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
	next, err := successor.Dial(cfg.StreamerSocket())
	if err != nil {
		return errors.Join(err, streams.Close())
	}
	defer func() { err = errors.Join(err, next.Close()) }()

	// A predecessor has the pumps and the socket until it has handed over.
	tokens := session.NewTokens(time.Now)
	tokenFile, draining := filepath.Join(cfg.State, "tokens"), filepath.Join(cfg.State, "draining")
	if err := takeOver(ctx, pumps, tokens, tokenFile, draining, env.Log); err != nil || ctx.Err() != nil {
		return errors.Join(err, streams.Close())
	}
	socket, err := env.Inherited.Unix("streamer", cfg.StreamerSocket())
	if err != nil {
		return errors.Join(err, streams.Close())
	}

	sessions := session.NewSet()
	attacher := attach.New(pumps, containerd, env.Log)
	http := server.New(streams, served, server.Handlers{
		Exec: execs, Attach: attacher, Forward: forwarder,
	}, tokens, sessions, env.Log)
	p := &parts{
		pumps: pumps, journal: journal, starter: keeper.NewStarter(filepath.Join(cfg.State, "io"), env.Log), execs: execs, attacher: attacher,
		http: http, grpc: rpc.NewServer(env.Log), sessions: sessions, draining: draining, log: env.Log,
		handOver: handover.New(handover.Parts{
			Pumps: pumps, Streams: http, Tokens: tokens, Sessions: sessions, Next: next, TokenFile: tokenFile,
		}, env.Log),
	}
	p.socket = p.handOver.Door(socket)
	streamerv1.RegisterStreamerServer(p.grpc, service.New(kept{pumps, p.starter}, execs, forwarder, http, sessions, service.Generations{
		HandOver: p.handOver, Draining: handover.NewDraining(p.draining, env.Log),
	}))
	env.Metrics.MustRegister(sessions.Metrics(), pumps.Metrics())
	env.Log.InfoContext(ctx, "serving streams", "address", streams.Addr().String(), "tls", served.TLS != nil)
	return p.serve(ctx)
}

// takeOver waits until there is no predecessor, and takes what it has left.
func takeOver(ctx context.Context, pumps *pump.Pumps, tokens *session.Tokens, tokenFile, draining string, log *slog.Logger) error {
	if err := pumps.Take(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(draining, 0o700); err != nil {
		return fmt.Errorf("make directory of draining streamers: %w", err)
	}
	if err := tokens.TakeOver(tokenFile); err != nil {
		log.WarnContext(ctx, "streaming URLs that nobody has used are not valid any more", "error", err)
	}
	return nil
}

// logging is the pumps' configuration.
func logging(cfg config.Streamer, journal *journald.Sender) pump.Config {
	pumps := pump.Config{
		PipeSize: cfg.PipeSize, RateLimit: cfg.LogRateLimit, MaxSize: int64(cfg.LogMaxSize), MaxFiles: cfg.LogMaxFiles,
	}
	if journal != nil {
		pumps.Also = journal.Send
	}
	return pumps
}

// journalOf is what sends logs to journald, with its metrics; nil if nothing
// is to.
func journalOf(env member.Env) *journald.Sender {
	if !env.Config.Streamer.LogToJournald {
		return nil
	}
	journal := journald.New(journald.Socket, env.Log)
	env.Metrics.MustRegister(journal.Metrics()...)
	return journal
}

// executing is the commands' configuration.
func executing(cfg config.Streamer) exec.Config {
	return exec.Config{
		OutputLimit: cfg.ExecSyncOutputLimit, Drain: cfg.ExecSyncDrain.Std(), PerContainer: cfg.ExecsPerContainer,
	}
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
