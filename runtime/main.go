// Trivet-runtime serves the CRI: the one process that decides about pods.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

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
	"github.com/trivet-cri/trivet/runtime/selinux"
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
	inside, err := build(env, outside)
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
	if o.containerd, err = engine.Connect(ctx, cfg.Containerd); err != nil {
		return nil, err
	}
	if err := engine.UseMounts(filepath.Join(cfg.State, "mounts")); err != nil {
		return nil, err
	}
	o.closers.Add("connection to containerd", func(context.Context) error { return o.containerd.Close() })
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
	server      *rpc.Server
	sweepViews  func(context.Context) error
}

func build(env member.Env, o *others) (*nouns, error) {
	cfg, log := env.Config, env.Log
	networks := network.New(o.netsync, log)
	kernel := handler.Kernel{RecursiveReadOnly: o.machine.Host.RecursiveReadOnly, UserNamespaces: o.machine.UserNamespaces}
	handlers := handler.New(cfg.Runtime.Handlers, kernel, o.containerd, log)
	images, err := image.New(o.containerd, cfg.Image, snapshotters(cfg), log)
	if err != nil {
		return nil, err
	}
	pauses := pause.New(pause.Deps{
		Config: cfg.Runtime, Image: cfg.Image, Systemd: cfg.SystemdCgroup(), Host: o.machine.Host,
		Containerd: o.containerd, Images: images, KillShim: killShim,
	})
	namedClasses, err := loadClasses(cfg.Runtime, log)
	if err != nil {
		return nil, err
	}
	plugins, podHooks, containerHooks := hooks(env, o, namedClasses)
	sandboxes := sandbox.New(sandbox.Deps{
		Config: cfg.Runtime, PauseImage: cfg.Image.PauseImage, Systemd: cfg.SystemdCgroup(), Host: o.machine.Host,
		Containerd: o.containerd, KillShim: killShim, HostPID: sandbox.HostPID,
	})
	labels, err := selinuxLabels(cfg.Runtime, log)
	if err != nil {
		return nil, err
	}
	pods := pod.New(pod.Deps{
		Labels: labels,
		Config: cfg.Runtime, Systemd: cfg.SystemdCgroup(), Host: o.machine.Host, BootID: o.machine.BootID,
		Records: o.containerd, Pins: o.pins, Files: o.files, Network: networks, Pauses: pauses, Sandboxes: sandboxes, Handlers: handlers, Hooks: podHooks, Log: log,
	})
	imageVolumes, err := imagevolume.New(filepath.Join(cfg.State, "image-volumes"), o.containerd, images)
	if err != nil {
		return nil, err
	}
	containers, err := container.New(container.Deps{
		Labels:  labels,
		Classes: namedClasses, KillShim: killShim,
		Config: cfg.Runtime, Snapshotter: cfg.Image.Snapshotter, Systemd: cfg.SystemdCgroup(),
		StateDir: filepath.Join(cfg.State, "started"), VolumeDir: filepath.Join(cfg.Root, "volumes"),
		CheckpointDir: filepath.Join(cfg.Root, "checkpoints"), JournalDir: filepath.Join(cfg.State, "checkpoints"),
		CRIU: checkpoint.NewCRIU(cfg.Runtime.EnableCRIU), Freezer: o.containerd, Dumper: o.containerd, Restorer: o.containerd, Puller: images,
		Host: o.machine.Host, CDI: o.devices, Bases: o.machine.Bases, ImageVolumes: imageVolumes, Handlers: handlers,
		Records: o.containerd, Specs: o.containerd, Snapshots: o.containerd, Tasks: o.containerd, Streams: o.streamer, Images: images, Pods: pods, Hooks: containerHooks, Log: log,
	})
	if err != nil {
		return nil, err
	}
	checkpoints := podcheckpoint.New(podcheckpoint.Deps{
		Pods: pods, Containers: containers, Status: cri.StatusOf, Journal: containers.Journal(),
		Limit: cfg.Runtime.CreateTimeout.Std(), Log: log,
	})
	health := node.NewHealth(o.containerd, log)
	server := rpc.NewServer(log)
	cri.Register(server,
		cri.NewNode(cri.NodeDeps{
			Config: cfg, RuntimeError: health.Error, Network: networks,
			Handlers: handlers.Reports, UserNamespacesHostNetwork: o.machine.UserNamespaces,
			Plugins:   overview(plugins),
			Overviews: map[string]cri.Overview{"pods": pods, "containers": containers, "checkpoints": checkpoints},
		}),
		cri.NewSandboxes(pods, containers),
		cri.NewContainers(pods, containers, o.containerd),
		cri.NewStreaming(pods, containers, o.streamer),
		cri.NewCheckpoints(containers, checkpoints),
		cri.NewStats(cri.StatsDeps{
			Pods: pods, Containers: containers, Systemd: cfg.SystemdCgroup(), Cgroups: stats.NewCgroups(o.machine.Host.CgroupV2),
			Networks: stats.Namespaces{}, Layers: images, Log: log,
		}),
		cri.NewImages(images, cfg.Runtime.Handlers))
	begun := time.Now() // views of this process come later
	return &nouns{
		networks: networks, handlers: handlers, images: images, pods: pods, containers: containers, checkpoints: checkpoints, plugins: plugins, health: health, server: server,
		sweepViews: func(ctx context.Context) error { return o.containerd.SweepViews(ctx, begun) },
	}, nil
}

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
		n.networks.Run, n.handlers.Run, n.images.Run, n.containers.Watch, n.containers.Thaw, n.health.Run,
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

// recoverAll reads images, pods and containers, and returns when they can be
// listed.
func recoverAll(ctx context.Context, images *image.Service, pods *pod.Service, containers *container.Service) error {
	var group errgroup.Group
	group.Go(func() error { return images.Load(ctx) })
	group.Go(func() error {
		if err := pods.Recover(ctx); err != nil {
			return fmt.Errorf("recover pods: %w", err)
		}
		if err := containers.Recover(ctx); err != nil {
			return fmt.Errorf("recover containers: %w", err)
		}
		return nil
	})
	return group.Wait()
}

const (
	// sweepLimit bounds one attempt to sweep, sweepPause is between two.
	sweepLimit = time.Minute
	sweepPause = 5 * time.Second
	// sweepEvery is how long a pod's failed start that could not be undone
	// keeps its leftovers.
	sweepEvery = 10 * time.Minute
)

// sweep clears what a crash has left, as soon as all members answer, and then
// again and again what pods' failed starts have.
func (n *nouns) sweep(ctx context.Context, log *slog.Logger) error {
	swept := false
	for {
		limited, cancel := context.WithTimeout(ctx, sweepLimit)
		err := n.pods.Sweep(limited)
		if !swept {
			err = errors.Join(n.sweepViews(limited), n.containers.Sweep(limited), err)
		}
		cancel()
		pause := sweepEvery
		if err != nil && ctx.Err() == nil {
			pause = sweepPause
			log.WarnContext(ctx, "what a crash or a failed start may have left is not swept yet", "error", err)
		}
		swept = swept || err == nil
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
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
