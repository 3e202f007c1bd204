package main

import (
	"context"
	"path/filepath"

	"github.com/trivet-cri/trivet/internal/member"
	"github.com/trivet-cri/trivet/runtime/tuning"
)

// newTuner returns who tunes this machine's processors. What a reboot has left
// of that is put back; if that fails, pods run all the same.
func newTuner(ctx context.Context, env member.Env, o *others) (*tuning.Tuner, error) {
	cfg := env.Config
	balancer := tuning.Balancer{File: cfg.Runtime.IRQBalanceConfigFile, Log: env.Log}
	tuner, err := tuning.New(tuning.Deps{
		Config: cfg.Runtime, Systemd: cfg.SystemdCgroup(), CgroupV2: o.machine.Host.CgroupV2,
		Root: "/", Ledger: filepath.Join(cfg.State, "tuning.json"), Rebalance: balancer.Rebalance, Log: env.Log,
	})
	if err != nil {
		return nil, err
	}
	if err := tuner.Reboot(ctx); err != nil {
		env.Log.WarnContext(ctx, "irqbalance may leave processors alone that it need not", "error", err)
	}
	return tuner, nil
}
