package podtest

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/podfiles"
	"github.com/trivet-cri/trivet/runtime/selinux"
)

// BootID is that of the machine until a test reboots it.
const BootID = "first-boot"

// World is a machine with containerd and netsync, as pods see them.
type World struct {
	Faults
	Records   *Records
	Pins      *Pins
	Files     *Files
	Network   *Network
	Pauses    *Holders
	Sandboxes *Holders
	Handlers  Handlers
	Plugins   *Plugins
	SELinux   bool            // processes that start from now on label pods
	labels    *selinux.Labels // of the last process
}

// New returns a world without pods.
func New() *World {
	w := &World{Handlers: make(Handlers)}
	w.Records = &Records{faults: &w.Faults, things: newThings[Record]()}
	w.Pins = &Pins{faults: &w.Faults, things: newThings[Pin]()}
	w.Files = &Files{faults: &w.Faults, things: newThings[podfiles.Request]()}
	w.Network = &Network{faults: &w.Faults, things: newThings[Attached]()}
	w.Pauses = &Holders{name: "Pauses", faults: &w.Faults, things: newThings[int](), ends: make(map[string]chan struct{})}
	w.Sandboxes = &Holders{name: "Sandboxes", faults: &w.Faults, things: newThings[int](), ends: make(map[string]chan struct{})}
	w.Plugins = &Plugins{faults: &w.Faults, things: newThings[bool]()}
	return w
}

// categories is more than any test's pods need.
const categories = 1024

// Deps are the world as a service of a new process takes it, with Config.
func (w *World) Deps() pod.Deps {
	if w.SELinux {
		w.labels = selinux.New(&Labels{faults: &w.Faults, things: newThings[bool]()}, categories)
	}
	return pod.Deps{
		Labels: w.labels,
		Config: Config(), BootID: BootID,
		Records: w.Records, Pins: w.Pins, Files: w.Files, Network: w.Network, Pauses: w.Pauses, Sandboxes: w.Sandboxes, Hooks: w.Plugins, Handlers: w.Handlers,
		Log: slog.New(slog.DiscardHandler),
	}
}

// Config is a configuration with some handlers.
func Config() config.Runtime {
	cfg := config.Default().Runtime
	cfg.Handlers["other"] = config.Handler{Type: "io.containerd.runc.v2", Snapshotter: "native", CNIConfDir: "/etc/cni/other"}
	cfg.Handlers["special"] = config.Handler{
		Type: "io.containerd.runc.v2", ContainerCreateTimeout: config.Duration(time.Second),
		DefaultAnnotations:   map[string]string{"io.example/zone": "a", "devices.crio.io": "/dev/fuse"},
		PlatformRuntimePaths: map[string]string{"wasi/wasm": "/usr/bin/crun-wasm"},
	}
	cfg.Handlers["vm"] = config.Handler{Type: "io.containerd.kata.v2", Sandboxer: "shim"}
	cfg.Handlers["annotated"] = config.Handler{
		Type: "io.containerd.runc.v2", AllowedAnnotations: []string{"shm-size.crio.io", "link-logs.crio.io", "seccomp-profile.crio.io"},
	}
	cfg.Handlers["listening"] = config.Handler{Type: "io.containerd.runc.v2", AllowedAnnotations: []string{"seccomp-notifier-action.crio.io"}}
	return cfg
}

// Leftovers are what exists, in the form "kind id".
func (w *World) Leftovers() []string {
	var all []string
	for kind, ids := range map[string][]string{
		"label":  w.labels.Held(),
		"record": w.Records.IDs(), "pins": w.Pins.IDs(), "files": w.Files.IDs(),
		"attachment": w.Network.IDs(), "pause container": w.Pauses.IDs(),
		"sandbox": w.Sandboxes.IDs(),
	} {
		for _, id := range ids {
			all = append(all, kind+" "+id)
		}
	}
	slices.Sort(all)
	return all
}

// Reboot takes away what a restart of the machine does.
func (w *World) Reboot() {
	w.Pins.clear()
	w.Files.clear()
	w.Pauses.clear()
	w.Sandboxes.clear()
}

// Sandbox is the configuration of an ordinary pod: a network of its own, and
// no shared PID namespace.
func Sandbox(name string) *runtimeapi.PodSandboxConfig {
	return &runtimeapi.PodSandboxConfig{
		Metadata: &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "shop", Uid: "uid-" + name},
		Hostname: name, LogDirectory: "/var/log/pods/" + name,
		Labels: map[string]string{"app": name},
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent: "/kubepods/pod-" + name,
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
				NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER},
			},
		},
	}
}

// SharedPID is Sandbox with a pause container.
func SharedPID(name string) *runtimeapi.PodSandboxConfig {
	cfg := Sandbox(name)
	cfg.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
	return cfg
}

// things are what a fake keeps, by id.
type things[T any] struct {
	mu  sync.Mutex
	all map[string]T
}

func newThings[T any]() *things[T] { return &things[T]{all: make(map[string]T)} }

// IDs are those that exist, sorted.
func (t *things[T]) IDs() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.all))
}

// Get returns one.
func (t *things[T]) Get(id string) (T, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one, ok := t.all[id]
	return one, ok
}

// Put adds or replaces one, unasked.
func (t *things[T]) Put(id string, one T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all[id] = one
}

// Drop removes one, unasked.
func (t *things[T]) Drop(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, id)
}

func (t *things[T]) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.all)
}
