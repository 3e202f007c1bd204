package main

import (
	"context"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/trivet-cri/trivet/internal/member"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/cri"
	"github.com/trivet-cri/trivet/runtime/nri"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// hooks are NRI's, or none.
func hooks(env member.Env, o *others, classes spec.Classes) (*nri.Plugins, pod.Hooks, container.Hooks) {
	cfg := env.Config
	if cfg.NRI.Disable {
		return nil, pod.NoHooks{}, container.NoHooks{}
	}
	deps := nri.Deps{
		Config: cfg.NRI, Socket: cfg.NRISocket(), Runtime: cfg.Runtime, Specs: o.containerd, CDI: o.devices, Log: env.Log,
	}
	if classes != nil {
		deps.BlockIO = func(class string) (*specs.LinuxBlockIO, error) {
			return classes.BlockIO("", map[string]string{"io.kubernetes.cri.blockio-class": class}, nil)
		}
	}
	plugins := nri.New(deps)
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
