package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/internal/rpc"
	"github.com/trivet-cri/trivet/streamer/attach"
	"github.com/trivet-cri/trivet/streamer/exec"
	"github.com/trivet-cri/trivet/streamer/handover"
	"github.com/trivet-cri/trivet/streamer/journald"
	"github.com/trivet-cri/trivet/streamer/keeper"
	"github.com/trivet-cri/trivet/streamer/pump"
	"github.com/trivet-cri/trivet/streamer/server"
	"github.com/trivet-cri/trivet/streamer/session"
)

// parts are what runs.
type parts struct {
	pumps    *pump.Pumps
	journal  *journald.Sender // nil for none
	starter  *keeper.Starter
	execs    *exec.Execs
	attacher *attach.Attacher
	http     *server.Server
	grpc     *rpc.Server
	socket   net.Listener
	sessions *session.Set
	handOver *handover.HandOver
	draining string // the directory of draining processes' sockets
	log      *slog.Logger
}

// serve runs everything until ctx ends, something fails, or, after a
// hand-over, the last session has ended. What others stand on ends after them:
// first the servers, then the commands, then the pumps.
func (p *parts) serve(ctx context.Context) error {
	pumping, stopPumps := context.WithCancel(context.WithoutCancel(ctx))
	defer stopPumps()
	executing, stopExecs := context.WithCancel(context.WithoutCancel(ctx))
	defer stopExecs()
	sending, stopSending := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSending()
	base, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	base.Go(func() error {
		defer stopSending()
		return early(ctx, "pumps", p.pumps.Run(pumping))
	})
	if p.journal != nil {
		base.Go(func() error { return p.journal.Run(sending) })
	}
	base.Go(func() error { return p.starter.Run(ctx) })
	base.Go(func() error {
		defer stopPumps()
		return early(ctx, "commands", p.execs.Run(executing))
	})
	base.Go(func() error {
		defer stopExecs()
		defer stop()
		return p.serveClients(ctx)
	})
	return base.Wait()
}

// serveClients runs the servers. After a hand-over only the sessions go on,
// and a small server that lists them.
func (p *parts) serveClients(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	servers, ctx := errgroup.WithContext(ctx)
	serving, shut := context.WithCancel(ctx)
	defer shut()
	servers.Go(func() error {
		defer stop() // the last session has ended
		return p.http.Serve(ctx)
	})
	servers.Go(func() error { return p.grpc.ServeUntil(serving, p.socket, grace) })
	servers.Go(func() error {
		select {
		case <-p.pumps.Resumed():
			p.grpc.SetReady()
			p.attacher.EndInputs(ctx)
		case <-ctx.Done():
		}
		return nil
	})
	servers.Go(func() error {
		select {
		case <-p.handOver.Shut():
			shut()
			return handover.ServeDraining(ctx, p.draining, p.sessions, p.log)
		case <-ctx.Done():
			return nil
		}
	})
	return servers.Wait()
}

// early turns the end of something that should still run into an error.
func early(ctx context.Context, what string, err error) error {
	if err == nil && ctx.Err() == nil {
		return fmt.Errorf("%s ended by themselves", what)
	}
	return err
}
