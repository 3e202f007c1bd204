// Trivet-runtime serves the CRI: the one process that decides about pods.
package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/member"
	"github.com/trivet-cri/trivet/internal/rpc"
	netsyncv1 "github.com/trivet-cri/trivet/proto/netsync/v1"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/cri"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/namespaces"
	"github.com/trivet-cri/trivet/runtime/network"
	"github.com/trivet-cri/trivet/runtime/node"
	"github.com/trivet-cri/trivet/runtime/pause"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/podfiles"
	"github.com/trivet-cri/trivet/runtime/spec"
)

func main() {
	member.Main("runtime", "serves the Kubernetes Container Runtime Interface on containerd", run)
}

func run(ctx context.Context, env member.Env) (err error) {
	cfg, log := env.Config, env.Log

	// What others hold: containerd, netsync, streamer, the machine.
	containerd, err := engine.Connect(ctx, cfg.Containerd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, containerd.Close()) }()
	netsyncConn, err := rpc.Dial(cfg.NetSyncSocket())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, netsyncConn.Close()) }()
	streamerConn, err := rpc.Dial(cfg.StreamerSocket())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, streamerConn.Close()) }()
	streamer := streamerv1.NewStreamerClient(streamerConn)
	machine, err := node.Detect(cfg.Runtime)
	if err != nil {
		return err
	}
	devices, err := spec.NewCDI()
	if err != nil {
		return err
	}
	pins, err := namespaces.New(filepath.Join(cfg.State, "namespaces"))
	if err != nil {
		return err
	}
	defer pins.Close()
	files, err := podfiles.New(filepath.Join(cfg.State, "pods"))
	if err != nil {
		return err
	}

	// The nouns.
	networks := network.New(netsyncv1.NewNetSyncClient(netsyncConn), log)
	images, err := image.New(containerd, cfg.Image, snapshotters(cfg), log)
	if err != nil {
		return err
	}
	pauses := pause.New(pause.Deps{
		Config: cfg.Runtime, Image: cfg.Image, Systemd: cfg.SystemdCgroup(), Host: machine.Host,
		Containerd: containerd, Images: images,
	})
	pods := pod.New(pod.Deps{
		Config: cfg.Runtime, Systemd: cfg.SystemdCgroup(), BootID: machine.BootID,
		Records: containerd, Pins: pins, Files: files, Network: networks, Pauses: pauses, Log: log,
	})
	containers, err := container.New(container.Deps{
		Config: cfg.Runtime, Snapshotter: cfg.Image.Snapshotter, Systemd: cfg.SystemdCgroup(),
		StateDir: filepath.Join(cfg.State, "started"), VolumeDir: filepath.Join(cfg.Root, "volumes"),
		Host: machine.Host, CDI: devices, Bases: machine.Bases,
		Records: containerd, Snapshots: containerd, Tasks: containerd, Streams: streamer, Images: images, Pods: pods, Log: log,
	})
	if err != nil {
		return err
	}
	health := node.NewHealth(containerd, log)

	// What exists is read before anything is served.
	if err := recoverAll(ctx, images, pods, containers); err != nil {
		return err
	}

	// The service, on its socket, and the launcher's view of it, on another.
	server := rpc.NewServer(log)
	cri.Register(server,
		cri.NewNode(cri.NodeDeps{
			Config: cfg, RuntimeError: health.Error, Network: networks,
			RecursiveReadOnly: machine.Host.RecursiveReadOnly, UserNamespaces: machine.UserNamespaces,
			Overviews: map[string]cri.Overview{"pods": pods, "containers": containers},
		}),
		cri.NewSandboxes(pods, containers),
		cri.NewContainers(pods, containers, containerd),
		cri.NewStreaming(pods, containers, streamer),
		cri.NewImages(images, cfg.Runtime.Handlers))
	listener, err := env.Inherited.Unix("cri", cfg.CRISocket())
	if err != nil {
		return err
	}
	probes := rpc.NewServer(log)
	probeListener, err := env.Inherited.Unix("runtime-health", cfg.HealthSocket())
	if err != nil {
		return errors.Join(err, listener.Close())
	}

	// Background work outlives the last call, so its context is its own.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var group errgroup.Group
	group.Go(func() error { return networks.Run(background) })
	group.Go(func() error { return images.Run(background) })
	group.Go(func() error { return containers.Watch(background) })
	group.Go(func() error { return health.Run(background) })
	group.Go(func() error { pods.Verify(background); return nil })
	group.Go(func() error { return sweep(background, pods, containers, env) })
	group.Go(func() error {
		defer stop()
		defer containers.Close()
		defer pods.Close()
		server.SetReady()
		probes.SetReady()
		serving, serveCtx := errgroup.WithContext(ctx)
		serving.Go(func() error { return server.ServeUntil(serveCtx, listener, cfg.Launcher.StopTimeout.Std()/2) })
		serving.Go(func() error { return probes.ServeUntil(serveCtx, probeListener, time.Second) })
		return serving.Wait()
	})
	return group.Wait()
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
)

// sweep clears what a crash has left, as soon as all members answer.
func sweep(ctx context.Context, pods *pod.Service, containers *container.Service, env member.Env) error {
	for {
		limited, cancel := context.WithTimeout(ctx, sweepLimit)
		err := errors.Join(containers.Sweep(limited), pods.Sweep(limited))
		cancel()
		if err == nil || ctx.Err() != nil {
			return nil
		}
		env.Log.WarnContext(ctx, "what a crash may have left is not swept yet", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(sweepPause):
		}
	}
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
