// trivet-netsync runs CNI plugins for the runtime: it watches the network
// configuration, attaches and detaches pods and records every attachment in
// a ledger, so that neither a slow plugin nor a crash can do harm elsewhere.
package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/member"
	"github.com/trivet-cri/trivet/internal/rpc"
	"github.com/trivet-cri/trivet/netsync/attach"
	"github.com/trivet-cri/trivet/netsync/ledger"
	"github.com/trivet-cri/trivet/netsync/netns"
	"github.com/trivet-cri/trivet/netsync/network"
	"github.com/trivet-cri/trivet/netsync/plugin"
	"github.com/trivet-cri/trivet/netsync/podcidr"
	"github.com/trivet-cri/trivet/netsync/service"
	"github.com/trivet-cri/trivet/netsync/status"
	netsyncv1 "github.com/trivet-cri/trivet/proto/netsync/v1"
)

func main() {
	member.Main("netsync", "attach pods to networks through CNI plugins", serve)
}

// serve runs until ctx ends and every operation has finished or is undone.
func serve(ctx context.Context, env member.Env) (err error) {
	cfg, log := env.Config, env.Log
	listener, err := env.Inherited.Unix("netsync", cfg.NetSyncSocket())
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	book, err := openLedger(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		if closing := book.Close(); err == nil {
			err = closing
		}
	}()
	if err := book.Damage(); err != nil {
		log.ErrorContext(ctx, "the ledger of attachments was damaged, beginning a new one", "error", err)
	}

	sources, warnings := network.Sources(cfg)
	for _, warning := range warnings {
		log.WarnContext(ctx, warning)
	}
	configs := network.NewConfigs(sources, cfg.CNI.PollInterval.Std(), log)
	runner := plugin.NewRunner(cfg.CNI.BinDirs, cfg.CNICacheDir(), plugin.NewExec(cfg.CNI.MaxConcurrency))
	attachments := attach.New(attach.OptionsOf(cfg), book, configs, runner, runner, netns.Kernel{}, log)
	board := status.NewBoard(configs, book, runner, cfg.CNI.PollInterval.Std(), cfg.CNI.StatusTimeout.Std(), log)
	cidrs := podcidr.NewWriter(cfg.CNI.ConfTemplate, cfg.CNI.ConfDir, book, configs, log)
	if err := cidrs.Restore(ctx); err != nil {
		log.WarnContext(ctx, "network configuration of the pod CIDRs", "error", err)
	}

	group, ctx := errgroup.WithContext(ctx)
	server := rpc.NewServer(log)
	netsyncv1.RegisterNetSyncServer(server, service.New(attachments, board, cidrs, ctx.Done()))
	server.SetReady()
	group.Go(func() error { return configs.Run(ctx) })
	group.Go(func() error { return board.Run(ctx) })
	group.Go(func() error { return attachments.Run(ctx) })
	group.Go(func() error { return server.ServeUntil(ctx, listener, cfg.Launcher.StopTimeout.Std()) })
	return group.Wait()
}

// openLedger waits for a member of an older generation that drains.
func openLedger(ctx context.Context, cfg *config.Config) (*ledger.Ledger, error) {
	wait := cfg.Launcher.StartTimeout.Std() - time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("after %s: %w", wait, context.DeadlineExceeded))
	defer cancel()
	return ledger.Open(ctx, cfg.Root)
}
