// Package pod runs, stops, removes and recovers pods.
//
//	Run:  namespaces ─▶ network ─┐
//	      files ─────────────────┼─▶ (holder) ─▶ record ─▶ catalog
//	                             │
//	      on failure: undone in reverse
//
// A pod is namespaces that are pinned by mounts, an attachment in netsync's
// ledger, a few files, and one record in containerd's sandbox store, which is
// written once, last, when all else is there. So a pod that was cut short by a
// crash has no record: its leftovers are found by the sweep at the next start.
// Everything that serves reads is in the record and in memory. Pods that share
// their PID namespace, and those of handlers whose shim makes the sandbox, have
// a holder as well, with which they end.
//
// Invariant: one operation at a time changes a pod (its turn); readers see the
// last published state and never wait. Stop and Remove are idempotent, go on
// over whatever is missing, and leave the record in place until all else is
// gone, so that what failed can be tried again.
package pod

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	recordv1 "github.com/trivet-cri/trivet/proto/record/v1"
	"github.com/trivet-cri/trivet/runtime/spec"
	"github.com/trivet-cri/trivet/runtime/stats"
)

// Pod is one pod sandbox. Its exported fields never change.
type Pod struct {
	ID          string
	Config      *runtimeapi.PodSandboxConfig
	HandlerName string // as the client gave it, empty for the default
	Handler     config.Handler
	CreatedAt   time.Time
	Namespaces  spec.Namespaces // PID is not in it: see State
	Files       spec.Files
	SELinux     spec.SELinux
	Cores       stats.Meter // turns readings of its CPU time into a rate

	key    string // of its metadata
	record *recordv1.Pod
	state  atomic.Pointer[State]
	turn   chan struct{} // holds a token while an operation changes the pod
	// labelled: it holds the level of its SELinux labels; guarded by the turn.
	labelled bool
	// watched tells that somebody waits for its sandbox's end.
	watched atomic.Bool

	mu      sync.Mutex
	closed  bool          // takes no new containers
	guests  int           // operations that work inside the pod
	vacated chan struct{} // closed when closed and without guests; nil before closed
}

// State is what may change of a pod. A published one never does.
type State struct {
	Ready    bool
	IPs      []string
	Network  string // the CNI result as JSON
	PausePID int    // of the process that holds the pod's PID namespace, 0 without one
	// Resources are those of the last update.
	Resources Resources
}

func newPod(id string, record *recordv1.Pod, cfg *runtimeapi.PodSandboxConfig, handler config.Handler) *Pod {
	p := &Pod{
		ID: id, Config: cfg, HandlerName: record.GetRuntimeHandler(), Handler: handler,
		CreatedAt: record.GetCreatedAt().AsTime(), key: keyOf(cfg.GetMetadata()), record: record,
		SELinux: spec.SELinux{ProcessLabel: record.GetSelinuxLabel(), MountLabel: record.GetSelinuxMountLabel()},
		turn:    make(chan struct{}, 1),
	}
	p.state.Store(&State{IPs: record.GetIps(), Network: record.GetNetworkResult()})
	return p
}

// State is the pod's state as it is now.
func (p *Pod) State() State { return *p.state.Load() }

// SharesPID tells whether the pod has a process whose PID namespace is its
// containers', that of a pause container or of a sandbox. Right after a
// recovery State does not know the process yet.
func (p *Pod) SharesPID() bool { return p.held() && sharesPID(p.Config) }

// publish makes a new state; only who has the turn, or who is alone with the
// pod, calls it.
func (p *Pod) publish(change func(*State)) {
	next := p.State()
	change(&next)
	p.state.Store(&next)
}

// take waits for the pod's turn, which give ends.
func (p *Pod) take(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("pod %s is busy: %w", p.ID, context.Cause(ctx))
	}
}

func (p *Pod) give() { <-p.turn }

// Enter lets an operation work inside the pod, such as the creation of a
// container; leave ends it. A pod that is not ready, or is being stopped, is
// errdefs.ErrFailedPrecondition.
func (p *Pod) Enter() (leave func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !p.State().Ready {
		return nil, fmt.Errorf("pod %s is not ready: %w", p.ID, errdefs.ErrFailedPrecondition)
	}
	p.guests++
	return sync.OnceFunc(p.leave), nil
}

func (p *Pod) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.guests--
	if p.guests == 0 && p.vacated != nil {
		close(p.vacated)
		p.vacated = nil
	}
}

// close refuses new guests and waits for those inside.
func (p *Pod) close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	if p.guests == 0 {
		p.mu.Unlock()
		return nil
	}
	if p.vacated == nil {
		p.vacated = make(chan struct{})
	}
	vacated := p.vacated
	p.mu.Unlock()
	select {
	case <-vacated:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("pod %s: a container is being created in it: %w", p.ID, context.Cause(ctx))
	}
}

func keyOf(m *runtimeapi.PodSandboxMetadata) string {
	return fmt.Sprintf("%s/%s/%s/%d", m.GetNamespace(), m.GetName(), m.GetUid(), m.GetAttempt())
}
