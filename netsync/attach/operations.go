package attach

import (
	"context"
	"fmt"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/netsync/ledger"
)

// kind is what an operation does to its pod.
type kind string

const (
	attaching kind = "attach"
	detaching kind = "detach"
	checking  kind = "check"
)

var (
	errDetached = fmt.Errorf("the pod is being detached: %w", errdefs.ErrAborted)
	errStopping = fmt.Errorf("netsync is stopping: %w", errdefs.ErrUnavailable)
)

// run is an operation's work. work ends when the operation is to give up,
// base when also undoing has to.
type run func(work, base context.Context) (*ledger.Result, error)

// operation is one that is under way.
type operation struct {
	kind    kind
	giveUp  context.CancelCauseFunc // ends work
	abandon context.CancelCauseFunc // ends base, and so work
	waiters int                     // guarded by operations.mu
	done    chan struct{}
	result  *ledger.Result // valid after done
	err     error          // valid after done
}

// operations lets one operation run for each pod at a time. Those that ask
// for what is under way join it; those that ask for something else wait.
type operations struct {
	mu      sync.Mutex // never held while an operation works
	byPod   map[string]*operation
	closed  bool
	working errgroup.Group
}

func newOperations() *operations {
	return &operations{byPod: make(map[string]*operation)}
}

// join starts the operation or joins it, and waits for its result or for ctx.
func (o *operations) join(ctx context.Context, podID string, kind kind, work run) (*ledger.Result, error) {
	for {
		op, other, err := o.enter(ctx, podID, kind, work)
		if err != nil {
			return nil, fmt.Errorf("%s pod %s: %w", kind, podID, err)
		}
		if other != nil {
			select {
			case <-other.done:
				continue
			case <-ctx.Done():
				return nil, fmt.Errorf("%s pod %s: wait for its %s to end: %w", kind, podID, other.kind, ctx.Err())
			}
		}
		defer o.leave(op)
		select {
		case <-op.done:
			return op.result, op.err
		case <-ctx.Done():
			return nil, fmt.Errorf("%s pod %s: goes on without its caller: %w", kind, podID, ctx.Err())
		}
	}
}

// enter returns the operation to wait for as one's own, or another that must
// end first.
func (o *operations) enter(ctx context.Context, podID string, kind kind, work run) (own, other *operation, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	op := o.byPod[podID]
	if op != nil && op.kind != kind {
		if kind == detaching {
			op.giveUp(errDetached)
		}
		return nil, op, nil
	}
	if op == nil {
		if o.closed {
			return nil, nil, errStopping
		}
		op = o.start(ctx, podID, kind, work)
	}
	op.waiters++
	return op, nil, nil
}

func (o *operations) leave(op *operation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	op.waiters--
}

// start runs work with the values of ctx, its trace, but not its end. The
// caller holds mu.
func (o *operations) start(ctx context.Context, podID string, kind kind, work run) *operation {
	base, abandon := context.WithCancelCause(context.WithoutCancel(ctx))
	inner, giveUp := context.WithCancelCause(base)
	op := &operation{kind: kind, giveUp: giveUp, abandon: abandon, done: make(chan struct{})}
	o.byPod[podID] = op
	o.working.Go(func() error {
		defer abandon(nil)
		result, err := guarded(inner, base, work)
		if err != nil {
			err = fmt.Errorf("%s pod %s: %w", kind, podID, err)
		}
		op.result, op.err = result, err
		o.mu.Lock()
		delete(o.byPod, podID)
		o.mu.Unlock()
		close(op.done)
		return nil
	})
	return op
}

// guarded turns a panic into an error: one bad pod must not end the process.
func guarded(inner, base context.Context, work run) (result *ledger.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v: %w", p, errdefs.ErrInternal)
		}
	}()
	return work(inner, base)
}

// wanted tells whether an attachment of the pod is under way for somebody
// who still waits for it.
func (o *operations) wanted(podID string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	op := o.byPod[podID]
	return op != nil && op.kind == attaching && op.waiters > 0
}

// busy tells whether any operation of the pod is under way.
func (o *operations) busy(podID string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.byPod[podID] != nil
}

// each calls fn for all operations under way.
func (o *operations) each(fn func(*operation)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, op := range o.byPod {
		fn(op)
	}
}

// close refuses new operations and returns a channel that is closed when the
// running ones have ended.
func (o *operations) close(wait *errgroup.Group) <-chan struct{} {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	idle := make(chan struct{})
	wait.Go(func() error {
		defer close(idle)
		return o.working.Wait()
	})
	return idle
}
