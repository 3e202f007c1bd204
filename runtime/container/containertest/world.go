// Package containertest has fakes of all that containers are made of, beside
// those of pods in podtest, and processes that run on them.
//
// A World outlives its processes: closing one and starting the next is a
// restart of the runtime. All calls go through the world's Faults.
package containertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/image/imagetest"
	"github.com/trivet-cri/trivet/runtime/imagevolume"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
	"github.com/trivet-cri/trivet/runtime/spec"
	"github.com/trivet-cri/trivet/runtime/tuning"
)

// Image is the reference of the image that every world has.
const Image = "registry.test/server:1"

// World is a machine with containerd, netsync and streamer.
type World struct {
	*podtest.World
	Containers *Containers
	Snapshots  *Snapshots
	Views      *Views
	Tasks      *Tasks
	Streams    *Streams
	Images     *image.Service
	// Hooks are what plugins hear of containers; those of pods have theirs.
	Hooks        *Plugins
	store        *imagetest.Store
	imageVolumes *imagevolume.Store
	dir          string
	Checkpoints  *Checkpoints
	// Tuning is what each process's tuner is made of: with a machine of its own.
	Tuning tuning.Deps
}

// New returns a world whose files are below dir.
func New(dir string) (*World, error) {
	w := &World{World: podtest.New(), dir: dir, store: imagetest.NewStore()}
	w.Containers = &Containers{faults: &w.Faults, all: make(map[string]Container)}
	w.Snapshots = &Snapshots{faults: &w.Faults, root: filepath.Join(dir, "image"), all: make(map[string]string)}
	w.Views = &Views{faults: &w.Faults, snapshots: w.Snapshots, all: make(map[string]string)}
	w.Tasks = &Tasks{faults: &w.Faults, all: make(map[string]*Task)}
	w.Checkpoints = &Checkpoints{faults: &w.Faults, tasks: w.Tasks, frozen: make(map[string]bool), applied: make(map[string]Applied)}
	w.Hooks = &Plugins{faults: &w.Faults, all: make(map[string][]string)}
	w.Streams = &Streams{faults: &w.Faults, open: make(map[string]Open)}
	w.Tuning = tuning.Deps{
		Config: podtest.Config(), Root: filepath.Join(dir, "machine"), Ledger: filepath.Join(dir, "tuning.json"),
		Rebalance: func(context.Context, string) {}, Log: slog.New(slog.DiscardHandler),
	}
	content := imagetest.NewContent("server")
	content.Config.Config.Entrypoint = []string{"/bin/server"}
	content.Config.Config.Volumes = map[string]struct{}{"/data": {}}
	if err := os.MkdirAll(filepath.Join(w.ImageRoot(), "data"), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(w.ImageRoot(), "data", "seed"), []byte("from the image"), 0o600); err != nil {
		return nil, err
	}
	if err := w.AddImage(Image, content); err != nil {
		return nil, err
	}
	var err error
	w.imageVolumes, err = imagevolume.New(w.ImageVolumeDir(), w.Views, w.Images)
	return w, err
}

// AddArtifact puts an OCI artifact into the registry.
func (w *World) AddArtifact(ref string, blob []byte) { w.store.AddArtifact(ref, blob) }

// AddImage puts an image into containerd. Its files are those in ImageRoot.
func (w *World) AddImage(name string, content imagetest.Content) (err error) {
	w.store.Import(name, content)
	if w.Images == nil {
		cfg := config.Default().Image
		cfg.ConfigPath = ""
		if w.Images, err = image.New(w.store, cfg, nil, slog.New(slog.DiscardHandler)); err != nil {
			return err
		}
	}
	return w.Images.Load(context.Background())
}

// ImageRoot is the directory with the files of all images.
func (w *World) ImageRoot() string { return w.Snapshots.root }

// MarkDir and VolumeDir are the directories of a process.
func (w *World) MarkDir() string { return filepath.Join(w.dir, "started") }

// VolumeDir has the volumes of containers.
func (w *World) VolumeDir() string { return filepath.Join(w.dir, "volumes") }

// NotifierDir has the sockets of seccomp's filters.
func (w *World) NotifierDir() string { return filepath.Join(w.dir, "seccomp") }

// ImageVolumeDir has the mounts of images in containers.
func (w *World) ImageVolumeDir() string { return filepath.Join(w.dir, "image-volumes") }

// CheckpointDir has checkpoints that are taken or will be restored.
func (w *World) CheckpointDir() string { return filepath.Join(w.dir, "checkpoints") }

// JournalDir notes checkpoints under way.
func (w *World) JournalDir() string { return filepath.Join(w.dir, "journal") }

// Deps are the world as a service takes it.
func (w *World) Deps(pods *pod.Service) container.Deps {
	return container.Deps{
		KillShim: w.Tasks.KillShim, PinShim: w.Tasks.PinShim,
		Config: podtest.Config(), Snapshotter: "overlayfs", StateDir: w.MarkDir(), VolumeDir: w.VolumeDir(),
		NotifierDir:   w.NotifierDir(),
		Host:          spec.Host{Hostname: "node", Seccomp: true, Capabilities: []string{"CAP_CHOWN", "CAP_KILL"}},
		CheckpointDir: w.CheckpointDir(), JournalDir: w.JournalDir(), Puller: w.Images,
		CRIU: w.Checkpoints, Freezer: w.Checkpoints, Dumper: w.Checkpoints, Restorer: w.Checkpoints,
		Records: w.Containers, Specs: w.Containers, Snapshots: w.Snapshots, Tasks: w.Tasks, Streams: w.Streams, Images: w.Images, Pods: pods, Hooks: w.Hooks,
		Labels: pods.Labels, ImageVolumes: w.imageVolumes, Handlers: w.Handlers, Log: slog.New(slog.DiscardHandler),
	}
}

// Leftovers are what exists, in the form "kind id", with that of pods.
func (w *World) Leftovers() []string { return append(w.World.Leftovers(), w.OfContainers()...) }

// OfContainers are what exists of containers, in the form "kind id".
func (w *World) OfContainers() []string {
	var all []string
	for kind, ids := range map[string][]string{
		"container": w.Containers.IDs(), "snapshot": w.Snapshots.IDs(), "task": w.Tasks.IDs(), "streams": w.Streams.IDs(),
		"mark": names(w.MarkDir()), "volumes": names(w.VolumeDir()), "image-volumes": names(w.ImageVolumeDir()), "view": w.Views.IDs(),
		"dump": names(filepath.Join(w.CheckpointDir(), "work")), "checkpoint": names(filepath.Join(w.CheckpointDir(), "restore")),
		"note": names(w.JournalDir()), "notifier": names(w.NotifierDir()),
	} {
		for _, id := range ids {
			all = append(all, kind+" "+id)
		}
	}
	slices.Sort(all)
	return all
}

// Reboot takes away what a restart of the machine does.
func (w *World) Reboot() error {
	w.World.Reboot()
	w.Tasks.clear()
	w.Streams.clear()
	return errors.Join(os.RemoveAll(w.MarkDir()), os.RemoveAll(w.Tuning.Ledger), os.RemoveAll(w.NotifierDir()))
}

func names(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // it is not there, so nothing is in it
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// Config is the configuration of an ordinary container.
func Config(name string) *runtimeapi.ContainerConfig {
	return &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: name},
		Image:    &runtimeapi.ImageSpec{Image: Image},
		Labels:   map[string]string{"tier": name},
		LogPath:  name + "/0.log",
		Linux: &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
			NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER},
		}},
	}
}

// Process is one life of the runtime.
type Process struct {
	Pods       *pod.Service
	Containers *container.Service
	stop       context.CancelFunc
	watched    chan error
}

// Start begins a process: it recovers what the world has, and watches it.
// edits change what the containers' service is made of.
func (w *World) Start(edits ...func(*container.Deps)) (*Process, error) {
	p := &Process{Pods: pod.New(w.World.Deps()), watched: make(chan error, 1)}
	deps := w.Deps(p.Pods)
	var err error
	if deps.Tuning, err = tuning.New(w.Tuning); err != nil {
		return nil, err
	}
	for _, edit := range edits {
		edit(&deps)
	}
	if p.Containers, err = container.New(deps); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	if err := p.Pods.Recover(ctx); err != nil {
		return nil, fmt.Errorf("recover pods: %w", err)
	}
	if err := p.Containers.Recover(ctx); err != nil {
		return nil, fmt.Errorf("recover containers: %w", err)
	}
	go func() { p.watched <- errors.Join(p.Containers.Thaw(ctx), p.Containers.Watch(ctx)) }()
	return p, nil
}

// Close ends the process and waits for it.
func (p *Process) Close() error {
	p.Containers.Close()
	p.Pods.Close()
	p.stop()
	return <-p.watched
}
