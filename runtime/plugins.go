package main

import (
	"context"

	"github.com/trivet-cri/trivet/internal/member"
	"github.com/trivet-cri/trivet/runtime/classes"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/cri"
	"github.com/trivet-cri/trivet/runtime/nri"
	"github.com/trivet-cri/trivet/runtime/pod"
)

// hooks are NRI's, or none.
func hooks(env member.Env, o *others, named *classes.Classes) (*nri.Plugins, pod.Hooks, container.Hooks) {
	cfg := env.Config
	if cfg.NRI.Disable {
		return nil, pod.NoHooks{}, container.NoHooks{}
	}
	plugins := nri.New(nri.Deps{
		Config: cfg.NRI, Socket: cfg.NRISocket(), Runtime: cfg.Runtime, Host: o.machine.Host,
		Specs: o.containerd, CDI: o.devices, Classes: named, Log: env.Log,
	})
	return plugins, plugins, plugins
}

// overview is nothing for the status where there are no plugins.
func overview(plugins *nri.Plugins) cri.Plugins {
	if plugins == nil {
		return nil
	}
	return plugins
}

// servePlugins has plugins told of what exists and take part in what comes.
func (n *nouns) servePlugins(ctx context.Context) error {
	if n.plugins == nil {
		return nil
	}
	return n.plugins.Run(ctx, n.pods, n.containers)
}
