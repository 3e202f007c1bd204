// Trivet-runtime serves the CRI: the one process that decides about pods.
package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/member"
	"github.com/trivet-cri/trivet/internal/rpc"
	"github.com/trivet-cri/trivet/internal/undo"
	netsyncv1 "github.com/trivet-cri/trivet/proto/netsync/v1"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/runtime/checkpoint"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/cri"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/handler"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/imagevolume"
	"github.com/trivet-cri/trivet/runtime/namespaces"
	"github.com/trivet-cri/trivet/runtime/network"
	"github.com/trivet-cri/trivet/runtime/node"
	"github.com/trivet-cri/trivet/runtime/nri"
	"github.com/trivet-cri/trivet/runtime/pause"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/podcheckpoint"
	"github.com/trivet-cri/trivet/runtime/podfiles"
	"github.com/trivet-cri/trivet/runtime/sandbox"
	"github.com/trivet-cri/trivet/runtime/shim"
	"github.com/trivet-cri/trivet/runtime/spec"
	"github.com/trivet-cri/trivet/runtime/stats"
)

func main() {
	member.Main("runtime", "serves the Kubernetes Container Runtime Interface on containerd", run)
}

func run(ctx context.Context, env member.Env) error {
	outside, err := connect(ctx, env.Config)
	if err != nil {
		return err
	}
	inside, err := build(ctx, env, outside)
	if err != nil {
		return errors.Join(err, outside.close())
	}
	// What exists is read before anything is served.
	err = recoverAll(ctx, inside.images, inside.pods, inside.containers)
	if err == nil {
		err = inside.run(ctx, env)
	}
	return errors.Join(err, outside.close())
}

// others are what this process does not hold itself.
type others struct {
	containerd *engine.Engine
	netsync    netsyncv1.NetSyncClient
	streamer   streamerv1.StreamerClient
	machine    node.Machine
	devices    spec.CDI
	pins       *namespaces.Pins
	files      *podfiles.Store
	closers    undo.Stack
}

// connect reaches containerd, netsync, streamer and the machine.
func connect(ctx context.Context, cfg *config.Config) (_ *others, err error) {
	o := &others{}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
		}
	}()
	if o.containerd, err = engine.Connect(ctx, cfg.Containerd, cfg.ContainerdState()); err != nil {
		return nil, err
	}
	o.closers.Add("connection to containerd", func(context.Context) error { return o.containerd.Close() })
	if err := engine.UseMounts(filepath.Join(cfg.State, "mounts")); err != nil {
		return nil, err
	}
	netsync, err := rpc.Dial(cfg.NetSyncSocket())
	if err != nil {
		return nil, err
	}
	o.closers.Add("connection to netsync", func(context.Context) error { return netsync.Close() })
	o.netsync = netsyncv1.NewNetSyncClient(netsync)
	streamer, err := rpc.Dial(cfg.StreamerSocket())
	if err != nil {
		return nil, err
	}
	o.closers.Add("connection to streamer", func(context.Context) error { return streamer.Close() })
	o.streamer = streamerv1.NewStreamerClient(streamer)
	if o.machine, err = node.Detect(cfg.Runtime); err != nil {
		return nil, err
	}
	if len(cfg.Runtime.CDISpecDirs) > 0 {
		if o.devices, err = spec.NewCDI(cfg.Runtime.CDISpecDirs...); err != nil {
			return nil, err
		}
	}
	if o.pins, err = namespaces.New(filepath.Join(cfg.State, "namespaces")); err != nil {
		return nil, err
	}
	o.closers.Add("namespaces", func(context.Context) error { o.pins.Close(); return nil })
	o.files, err = podfiles.New(filepath.Join(cfg.State, "pods"))
	return o, err
}

// close ends the connections.
func (o *others) close() error { return o.closers.Run(context.Background(), time.Minute) }

// nouns are the services of the domain, and the CRI's server on them.
type nouns struct {
	networks    *network.Network
	handlers    *handler.Handlers
	images      *image.Service
	pods        *pod.Service
	containers  *container.Service
	checkpoints *podcheckpoint.Service
	plugins     *nri.Plugins // nil without NRI
	health      *node.Health
	logs        *node.Logs
	server      *rpc.Server
	sweepViews  func(context.Context) error
}

// build makes the services, each of those before it.
func build(ctx context.Context, env member.Env, o *others) (*nouns, error) {
	cfg, log := env.Config, env.Log
	kernel := handler.Kernel{RecursiveReadOnly: o.machine.Host.RecursiveReadOnly, UserNamespaces: o.machine.UserNamespaces}
	n := &nouns{
		networks: network.New(o.netsync, cfg.Runtime, log),
		handlers: handler.New(cfg.Runtime.Handlers, kernel, o.containerd, log),
		health:   node.NewHealth(o.containerd, log),
		logs:     node.NewLogs(o.streamer, log),
	}
	var err error
	if n.images, err = image.New(o.containerd, cfg.Image, snapshotters(cfg), log); err != nil {
		return nil, err
	}
	shared, err := newShared(ctx, env, o)
	if err != nil {
		return nil, err
	}
	n.plugins = shared.plugins
	n.pods = n.newPods(env, o, shared)
	if n.containers, err = n.newContainers(env, o, shared); err != nil {
		return nil, err
	}
	n.checkpoints = podcheckpoint.New(podcheckpoint.Deps{
		Pods: n.pods, Containers: n.containers, Status: cri.StatusOf, Journal: n.containers.Journal(),
		Limit: cfg.Runtime.CreateTimeout.Std(), Log: log,
	})
	n.server = n.newServer(env, o)
	begun := time.Now() // views of this process come later
	n.sweepViews = func(ctx context.Context) error { return o.containerd.SweepViews(ctx, begun) }
	return n, nil
}

func (n *nouns) newPods(env member.Env, o *others, shared shared) *pod.Service {
	cfg := env.Config
	pauses := pause.New(pause.Deps{
		Config: cfg.Runtime, Image: cfg.Image, Systemd: cfg.SystemdCgroup(), Host: o.machine.Host,
		Containerd: o.containerd, Images: n.images, KillShim: shim.Kill, PinShim: shim.Pins{Config: cfg.Runtime, Log: env.Log}.Keep,
	})
	sandboxes := sandbox.New(sandbox.Deps{
		Config: cfg.Runtime, PauseImage: cfg.Image.PauseImage, Systemd: cfg.SystemdCgroup(), Host: o.machine.Host,
		Containerd: o.containerd, KillShim: shim.Kill, HostPID: sandbox.HostPID,
	})
	return pod.New(pod.Deps{
		Config: cfg.Runtime, Systemd: cfg.SystemdCgroup(), Host: o.machine.Host, BootID: o.machine.BootID,
		Records: o.containerd, Pins: o.pins, Files: o.files, Network: n.networks, Pauses: pauses, Sandboxes: sandboxes,
		Handlers: n.handlers, Hooks: shared.podHooks, Labels: shared.labels, Log: env.Log,
	})
}

func (n *nouns) newContainers(env member.Env, o *others, shared shared) (*container.Service, error) {
	cfg := env.Config
	imageVolumes, err := imagevolume.New(filepath.Join(cfg.State, "image-volumes"), o.containerd, n.images)
	if err != nil {
		return nil, err
	}
	return container.New(container.Deps{
		Config: cfg.Runtime, Snapshotter: cfg.Image.Snapshotter, Systemd: cfg.SystemdCgroup(),
		StateDir: filepath.Join(cfg.State, "started"), VolumeDir: filepath.Join(cfg.Root, "volumes"),
		NotifierDir:   filepath.Join(cfg.State, "seccomp"),
		CheckpointDir: filepath.Join(cfg.Root, "checkpoints"), JournalDir: filepath.Join(cfg.Root, "checkpoints", "journal"),
		Host: o.machine.Host, CDI: o.devices, Bases: o.machine.Bases, DefaultMounts: o.machine.DefaultMounts, Classes: shared.classes, OCIHooks: shared.ociHooks, Labels: shared.labels,
		Records: o.containerd, Specs: o.containerd, Snapshots: o.containerd, Tasks: o.containerd,
		KillShim: shim.Kill, PinShim: shim.Pins{Config: cfg.Runtime, Log: env.Log}.Keep,
		Streams: o.streamer, Images: n.images, ImageVolumes: imageVolumes, Pods: n.pods, Handlers: n.handlers,
		Tuning: shared.tuner, CRIU: checkpoint.NewCRIU(cfg.Runtime.EnableCRIU), Freezer: o.containerd, Dumper: o.containerd,
		Restorer: o.containerd, Puller: n.images,
		Hooks: shared.containerHooks, Log: env.Log,
	})
}

func (n *nouns) newServer(env member.Env, o *others) *rpc.Server {
	cfg := env.Config
	server := rpc.NewServer(env.Log,
		grpc.MaxSendMsgSize(cfg.Runtime.GRPCMaxSendMessageSize), grpc.MaxRecvMsgSize(cfg.Runtime.GRPCMaxRecvMessageSize))
	overviews := map[string]cri.Overview{"pods": n.pods, "containers": n.containers, "checkpoints": n.checkpoints}
	env.Metrics.MustRegister(cri.Metrics(overviews))
	cri.Register(server,
		cri.NewNode(cri.NodeDeps{
			Config: cfg, RuntimeError: n.health.Error, Network: n.networks, Logs: n.logs,
			Handlers: n.handlers.Reports, UserNamespacesHostNetwork: o.machine.UserNamespaces,
			Plugins: overview(n.plugins), Overviews: overviews,
		}),
		cri.NewSandboxes(n.pods, n.containers),
		cri.NewContainers(n.pods, n.containers, o.containerd),
		cri.NewStreaming(n.pods, n.containers, o.streamer),
		cri.NewCheckpoints(n.containers, n.checkpoints),
		cri.NewStats(cri.StatsDeps{
			Pods: n.pods, Containers: n.containers, Systemd: cfg.SystemdCgroup(), Cgroups: stats.NewCgroups(o.machine.Host.CgroupV2),
			Networks: stats.Namespaces{}, Layers: n.images, Log: env.Log,
		}),
		cri.NewImages(n.images, cfg.Runtime.Handlers))
	return server
}

// snapshotters are those that runtime handlers name.
func snapshotters(cfg *config.Config) []string {
	var names []string
	for _, handler := range cfg.Runtime.Handlers {
		if handler.Snapshotter != "" {
			names = append(names, handler.Snapshotter)
		}
	}
	return names
}
