package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/member"
	"github.com/trivet-cri/trivet/runtime/classes"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/nri"
	"github.com/trivet-cri/trivet/runtime/ocihooks"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/selinux"
	"github.com/trivet-cri/trivet/runtime/tuning"
)

// shared is what pods, containers and plugins have in common.
type shared struct {
	classes        *classes.Classes
	labels         *selinux.Labels // nil without SELinux
	tuner          *tuning.Tuner
	plugins        *nri.Plugins // nil without NRI
	podHooks       pod.Hooks
	containerHooks container.Hooks
	ociHooks       *ocihooks.Hooks // nil without hooks_dir
}

func newShared(ctx context.Context, env member.Env, o *others) (s shared, err error) {
	if s.tuner, err = newTuner(ctx, env, o); err != nil {
		return s, err
	}
	if s.classes, err = classes.Load(env.Config.Runtime, env.Log); err != nil {
		return s, err
	}
	if s.labels, err = selinuxLabels(env.Config.Runtime, env.Log); err != nil {
		return s, err
	}
	if s.ociHooks, err = ocihooks.Load(env.Config.Runtime.HooksDir, env.Log); err != nil {
		return s, fmt.Errorf("runtime.hooks_dir: %w", err)
	}
	s.plugins, s.podHooks, s.containerHooks = hooks(env, o, s.classes)
	return s, nil
}

// selinuxLabels are nil unless SELinux is asked for.
func selinuxLabels(cfg config.Runtime, log *slog.Logger) (*selinux.Labels, error) {
	if !cfg.EnableSELinux {
		return nil, nil
	}
	library, enabled, err := selinux.System(cfg.SELinuxCategoryRange)
	if err != nil {
		return nil, err
	}
	if !enabled {
		log.Warn("runtime.enable_selinux is set, but this machine has no SELinux: containers get no labels")
	}
	return selinux.New(library, cfg.SELinuxCategoryRange), nil
}
