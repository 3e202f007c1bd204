// Package namespaces makes the namespaces of pods and keeps them alive
// without a process in them.
//
// A pod's network, IPC, UTS and user namespaces are pinned by bind mounts:
//
//	DIR/<pod id>/ns/{net,ipc,uts,user}
//
// A thread that ends afterwards enters the new namespaces, sets them up and
// only then pins them. So the invariant is: when all of a pod's pins are
// mounts, its namespaces are complete. A crash midway leaves a plain file, as
// a reboot does; Paths tells such a pod from a live one, Remove clears both.
// On failure nothing is left of what Create made.
//
// The directory is deliberately no mount point of its own. Pins propagate as
// the machine has it set up for the directory around it, so that a CNI daemon
// in a container sees them as it sees /run/netns. Removing a pin detaches its
// copies in all mount namespaces: the kernel does so when the file is unlinked.
package namespaces

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/runtime-spec/specs-go"
	"go.opentelemetry.io/otel/attribute"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/internal/telemetry"
)

// Pins makes, finds and removes pinned namespaces below one directory. All
// methods are safe for concurrent use; those that change the same pod run
// one after the other. Use New, and Close in the end.
type Pins struct {
	dir     string
	running sync.WaitGroup

	mu   sync.Mutex
	busy map[string]chan struct{} // closed when the pod's operation ends
}

// Request says what Create makes.
type Request struct {
	ID string // the pod's

	// Which namespaces to make. The others are not pinned: they are the host's.
	Net, IPC, UTS bool

	Hostname string            // in the new UTS namespace; empty for the host's
	Sysctls  map[string]string // in the new namespaces, see Apply

	// A user namespace with these mappings is made first and owns the others.
	// Both or none are empty; none means no user namespace.
	UIDs, GIDs []specs.LinuxIDMapping

	// What all users of the pod may do with a new network namespace, unless
	// Sysctls say otherwise: bind ports below 1024; send ICMP echo requests.
	// The latter is left out where a user namespace cannot hold the range.
	UnprivilegedPorts, UnprivilegedICMP bool
}

// Paths are those of a pod's pins, empty where there is none.
type Paths struct{ Net, IPC, UTS, User string }

// New uses the pins below dir, which is made if it is missing.
func New(dir string) (*Pins, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("pins' directory %q is not absolute", dir)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("make pins' directory: %w", err)
	}
	if err := makeDir(dir, 0o711); err != nil {
		return nil, fmt.Errorf("make pins' directory: %w", err)
	}
	return &Pins{dir: filepath.Clean(dir), busy: make(map[string]chan struct{})}, nil
}

// Close waits for operations whose callers have given up waiting. No method
// may be called after it.
func (p *Pins) Close() { p.running.Wait() }

// Create makes all the namespaces of r, or none. A pod that has pins already,
// of whatever age, is ErrAlreadyExists; a request that cannot be is
// ErrInvalidArgument with field and value; a limit of the kernel is
// ErrResourceExhausted. When ctx ends, Create returns and what it has made
// disappears as soon as the kernel lets go.
func (p *Pins) Create(ctx context.Context, r Request) (Paths, error) {
	if err := r.check(); err != nil {
		return Paths{}, fmt.Errorf("make namespaces: %w", err)
	}
	// Either the caller sees the result or the worker undoes it, never both.
	var settled atomic.Bool
	work := func() error {
		err := p.create(ctx, &r)
		if err == nil && !settled.CompareAndSwap(false, true) {
			err = context.Cause(ctx)
			p.unpinLogged(ctx, r.ID)
		}
		return err
	}
	err := telemetry.Span(ctx, "namespaces.create", func(ctx context.Context) error {
		return p.exclusively(ctx, r.ID, work, func() bool { return settled.CompareAndSwap(false, true) })
	}, attribute.Bool("trivet.namespaces.net", r.Net), attribute.Bool("trivet.namespaces.user", r.user()))
	if err != nil {
		return Paths{}, fmt.Errorf("make namespaces of pod %q: %w", r.ID, err)
	}
	return p.paths(r.ID, r.kinds()), nil
}

// Apply sets r.Sysctls in the pinned namespaces of r.ID. It is for those
// that must follow the pod's network: of an interface, or stronger than a CNI
// plugin. An unknown key or a bad value is ErrInvalidArgument with both and
// the kernel's error; those before it, in the order of keys, stay set.
func (p *Pins) Apply(ctx context.Context, r Request) error {
	if err := r.check(); err != nil {
		return fmt.Errorf("set sysctls: %w", err)
	}
	if len(r.Sysctls) == 0 {
		return nil
	}
	err := telemetry.Span(ctx, "namespaces.sysctls", func(ctx context.Context) error {
		return p.exclusively(ctx, r.ID, func() error { return p.apply(&r) }, func() bool { return true })
	})
	if err != nil {
		return fmt.Errorf("set sysctls of pod %q: %w", r.ID, err)
	}
	return nil
}

// Remove removes the pod's pins, also half-made ones and those from before a
// reboot. It is idempotent. A namespace lives on while a process is in it.
func (p *Pins) Remove(ctx context.Context, id string) error {
	if err := ident.Check("pod id", id); err != nil {
		return fmt.Errorf("remove namespaces: %w", err)
	}
	err := telemetry.Span(ctx, "namespaces.remove", func(ctx context.Context) error {
		return p.exclusively(ctx, id, func() error { return p.unpin(id) }, func() bool { return true })
	})
	if err != nil {
		return fmt.Errorf("remove namespaces of pod %q: %w", id, err)
	}
	return nil
}
