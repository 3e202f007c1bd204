// Package attach connects pods to networks and takes them off again.
//
//	Attach ─▶ intent ─▶ lo, ADD… ─▶ result      Detach ─▶ mark ─▶ DEL… ─▶ removed
//	          └──────── ledger ──────┘                     └──── ledger ────┘
//
// The invariant: a plugin runs ADD only after the intent is on disk, and an
// entry leaves the ledger only after DEL with the configuration of that ADD.
// One operation runs for a pod at a time; a retry joins it, and the work goes
// on when its callers give up. What fails is undone at once; what cannot be
// undone stays in the ledger and is tried again by Detach, at the next start
// and by the collection of garbage.
package attach

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/netsync/latest"
	"github.com/trivet-cri/trivet/netsync/ledger"
	"github.com/trivet-cri/trivet/netsync/network"
	"github.com/trivet-cri/trivet/netsync/plugin"
)

// Connector runs the CNI verbs on one pod and one network.
type Connector interface {
	Add(ctx context.Context, t plugin.Target) (*types100.Result, error)
	Delete(ctx context.Context, t plugin.Target) error
	Check(ctx context.Context, t plugin.Target) error
}

// Collector cleans up beside the ledger.
type Collector interface {
	// Collect runs the CNI verb GC on one network.
	Collect(ctx context.Context, config []byte, valid []types.GCAttachment) error
	// Remembered returns what an ADD of the pod, of which the ledger knows
	// nothing, has left in libcni's cache.
	Remembered(podID string) ([]plugin.Target, error)
}

// Namespaces looks at network namespaces.
type Namespaces interface {
	Verify(path string) error
	Gone(path string) bool
	LoopbackUp(path string) error
}

// Options are the limits and preferences.
type Options struct {
	AttachTimeout time.Duration
	DetachTimeout time.Duration
	// GCInterval is the pause between collections of garbage.
	GCInterval time.Duration
	// Grace is how long running operations have after the end of Run's
	// context: a half to finish, the rest to be undone.
	Grace time.Duration
	// Serially attaches a pod's networks one after the other.
	Serially bool
	// IPPreference is "ipv4", "ipv6" or "cni".
	IPPreference string
}

// Attachments does it. It is safe for concurrent use.
type Attachments struct {
	options   Options
	ledger    *ledger.Ledger
	configs   *network.Configs
	connector Connector
	collector Collector
	kernel    Namespaces
	log       *slog.Logger

	operations *operations
	gates      *gates
	// swept are the pods of the newest Sweep, nil before the first.
	swept *latest.Value[[]string]
}

// New returns the Attachments of the ledger's entries. Run must run as well.
func New(options Options, book *ledger.Ledger, configs *network.Configs, connector Connector, collector Collector, kernel Namespaces, log *slog.Logger) *Attachments {
	return &Attachments{
		options: options, ledger: book, configs: configs,
		connector: connector, collector: collector, kernel: kernel, log: log,
		operations: newOperations(), gates: newGates(), swept: latest.New[[]string](nil),
	}
}

// Attach connects the pod and returns the result. A pod that is attached
// already has its recorded result; an attachment under way is joined. When
// ctx ends the work goes on. Errors: ErrInvalidArgument, ErrUnavailable (no
// network, a plugin is not ready, this process stops), DeadlineExceeded
// (attach_timeout), ErrAborted (detached meanwhile), else a plugin's own.
func (a *Attachments) Attach(ctx context.Context, r Request) (*ledger.Result, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	return a.operations.join(ctx, r.Pod.ID, attaching, func(work, base context.Context) (*ledger.Result, error) {
		return a.attach(work, base, r)
	})
}

// attach is the operation. work ends with a Detach or this process's stop,
// base only when there is no time left to undo.
func (a *Attachments) attach(work, base context.Context, r Request) (*ledger.Result, error) {
	begin := time.Now()
	work, cancel := context.WithTimeoutCause(work, a.options.AttachTimeout,
		fmt.Errorf("attach_timeout of %s: %w", a.options.AttachTimeout, context.DeadlineExceeded))
	defer cancel()

	before, err := a.ledger.Get(r.Pod.ID)
	if err == nil && before.State == ledger.Attached {
		return before.Result, nil
	}
	// What an earlier attempt could not undo comes first.
	if !errdefs.IsNotFound(err) {
		if err := a.release(base, r.Pod.ID); err != nil {
			return nil, fmt.Errorf("undo an earlier attachment of the pod: %w", err)
		}
	}
	entry, err := a.intend(r, begin)
	if err != nil {
		return nil, err
	}
	if err := a.connect(work, entry); err != nil {
		return nil, a.undo(base, entry, why(work, err))
	}
	attached, _ := a.ledger.Get(r.Pod.ID)
	a.log.InfoContext(work, "pod attached", append(podOf(r.Pod), "ips", attached.Result.IPs, "took", time.Since(begin).Round(time.Millisecond))...)
	return attached.Result, nil
}

// intend makes the entry that is on record from before ADD.
func (a *Attachments) intend(r Request, now time.Time) (*ledger.Entry, error) {
	group, ok := a.configs.Snapshot().Group(r.Group)
	if !ok {
		return nil, fmt.Errorf("network %q is no configuration directory of a runtime handler: %w", r.Group, errdefs.ErrInvalidArgument)
	}
	if len(group.Networks) == 0 {
		// Only its text: what is wrong with a file is not the caller's argument.
		return nil, fmt.Errorf("no network is configured: %s: %w", group.Err.Error(), errdefs.ErrUnavailable)
	}
	if err := a.kernel.Verify(r.NetNS); err != nil {
		return nil, err
	}
	capabilities, err := r.capabilities(a.ledger.PodCIDRs())
	if err != nil {
		return nil, err
	}
	entry := &ledger.Entry{
		State: ledger.Intended, Pod: r.Pod, Group: r.Group, NetNS: r.NetNS, Started: now,
		Args: r.args(), Capabilities: capabilities,
	}
	for _, n := range group.Networks {
		entry.Networks = append(entry.Networks, ledger.Network{Name: n.Name, Interface: n.Interface, Config: n.Config})
	}
	return entry, nil
}

// connect records the intent, runs ADD and records the result.
func (a *Attachments) connect(ctx context.Context, entry *ledger.Entry) error {
	if err := a.record(ctx, entry); err != nil {
		return err
	}
	if err := a.kernel.LoopbackUp(entry.NetNS); err != nil {
		return err
	}
	results, err := a.add(ctx, entry)
	if err != nil {
		return err
	}
	attached := *entry
	attached.State = ledger.Attached
	if attached.Result, err = merge(entry, results, a.options.IPPreference); err != nil {
		return err
	}
	return a.record(ctx, &attached)
}

// record writes to the ledger inside a span: it waits for the disk.
func (a *Attachments) record(ctx context.Context, entry *ledger.Entry) error {
	return telemetry.Span(ctx, "ledger "+string(entry.State), func(ctx context.Context) error {
		return a.ledger.Put(ctx, entry)
	})
}

// undo tears down a failed attachment and returns its error, with what
// could not be undone.
func (a *Attachments) undo(base context.Context, entry *ledger.Entry, err error) error {
	if failed := a.release(base, entry.Pod.ID); failed != nil {
		return fmt.Errorf("%w (and undo: %s: will be tried again)", err, failed.Error())
	}
	return err
}

// why replaces the error of a plugin that was cut off by the reason for that.
func why(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if cause == nil || !errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("%s: %w", err.Error(), cause)
}
