package main

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/internal/member"
	"github.com/trivet-cri/trivet/internal/rpc"
)

// run serves the CRI on its socket, and the launcher's view of it on another,
// until ctx ends and all work has.
func (n *nouns) run(ctx context.Context, env member.Env) error {
	cfg := env.Config
	listener, err := env.Inherited.Unix("cri", cfg.CRISocket())
	if err != nil {
		return err
	}
	probes := rpc.NewServer(env.Log)
	probeListener, err := env.Inherited.Unix("runtime-health", cfg.HealthSocket())
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	// Background work outlives the last call, so its context is its own.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var group errgroup.Group
	for _, work := range []func(context.Context) error{
		n.networks.Run, n.handlers.Run, n.images.Run, n.containers.Watch, n.containers.Thaw, n.health.Run, n.logs.Run,
		n.servePlugins,
		func(ctx context.Context) error { n.pods.Verify(ctx); return nil },
		func(ctx context.Context) error { return n.sweep(ctx, env.Log) },
	} {
		group.Go(func() error { return work(background) })
	}
	group.Go(func() error {
		defer stop()
		n.server.SetReady()
		probes.SetReady()
		serving, serveCtx := errgroup.WithContext(ctx)
		serving.Go(func() error { return n.server.ServeUntil(serveCtx, listener, drainLimit) })
		serving.Go(func() error { return probes.ServeUntil(serveCtx, probeListener, time.Second) })
		err := serving.Wait()
		if !within(closeLimit, n.checkpoints.Close, n.pods.Close, n.containers.Close) {
			env.Log.WarnContext(ctx, "operations are cut off: what they leave is swept at the next start")
		}
		return err
	})
	return group.Wait()
}

const (
	// drainLimit is how long running calls may take to finish when this
	// process is to stop, and closeLimit how long what goes on without a client
	// may. They are short: the next generation, and with it every client, waits,
	// and what is cut off here is what a crash cuts off, too.
	drainLimit = 2 * time.Second
	closeLimit = time.Second
)

// within runs the functions, one after another, and tells whether they were
// done within limit. What still runs after that ends with the process, at the
// latest when its connections are closed.
func within(limit time.Duration, closers ...func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, end := range closers {
			end()
		}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
