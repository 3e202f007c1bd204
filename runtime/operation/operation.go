// Package operation runs work that outlives the client who asked for it.
//
//	client 1 ──▶ Do(key) ─▶ work ────────────────▶ result
//	client 1 gives up      │ (goes on)                │
//	client 2 ──▶ Do(key) ──┴── joins ─────────────────┘
//
// A kubelet's deadline passes while a plugin or a disk is slow; its retry must
// find the work where it is, and not begin it a second time beside the first.
// Work ends by itself, by its own limit, or with Close. Each operation has a
// stage and an age, for those who want to know what takes so long.
package operation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
)

// Operations are those of one kind of result. All methods may be called
// concurrently.
type Operations struct {
	life context.Context
	end  context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	running map[string]*operation
}

type operation struct {
	what   string
	begun  time.Time
	stage  atomic.Pointer[string]
	done   chan struct{}
	result any
	err    error
}

// Status describes a running operation.
type Status struct {
	What  string        `json:"what"`
	Stage string        `json:"stage"`
	Age   time.Duration `json:"age"`
}

// New returns an empty set.
func New() *Operations {
	o := &Operations{running: make(map[string]*operation)}
	o.life, o.end = context.WithCancel(context.Background())
	return o
}

// Do runs work under key, or joins the work that runs under it. what names
// it for people. The work's context has the values of the first caller's but
// not its end: it ends after limit. If ctx ends first, Do returns its error,
// with the stage, and the work goes on.
func Do[T any](ctx context.Context, o *Operations, key, what string, limit time.Duration, work func(context.Context) (T, error)) (T, error) {
	var none T
	op, err := o.begin(ctx, key, what, limit, func(ctx context.Context) (any, error) { return work(ctx) })
	if err != nil {
		return none, err
	}
	select {
	case <-op.done:
		if op.err != nil {
			return none, op.err
		}
		return op.result.(T), nil
	case <-ctx.Done():
		return none, fmt.Errorf("%s: not done after %s, at stage %q; it goes on: %w",
			what, time.Since(op.begun).Round(time.Millisecond), *op.stage.Load(), context.Cause(ctx))
	}
}

func (o *Operations) begin(ctx context.Context, key, what string, limit time.Duration, work func(context.Context) (any, error)) (*operation, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if op := o.running[key]; op != nil {
		return op, nil
	}
	if o.closed {
		return nil, fmt.Errorf("%s: the process is stopping: %w", what, errdefs.ErrUnavailable)
	}
	op := &operation{what: what, begun: time.Now(), done: make(chan struct{})}
	first := "begin"
	op.stage.Store(&first)
	o.running[key] = op
	o.work.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		defer context.AfterFunc(o.life, cancel)()
		o.run(context.WithValue(ctx, stageKey{}, op), key, op, work)
	})
	return op, nil
}

// run is work with its end: also a panic ends the operation, as an error.
func (o *Operations) run(ctx context.Context, key string, op *operation, work func(context.Context) (any, error)) {
	defer func() {
		if p := recover(); p != nil {
			op.err = fmt.Errorf("%s: panic: %v: %w", op.what, p, errdefs.ErrInternal)
		}
		o.mu.Lock()
		delete(o.running, key)
		o.mu.Unlock()
		close(op.done)
	}()
	op.result, op.err = work(ctx)
}

// List returns what runs, oldest first.
func (o *Operations) List() []Status {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make([]Status, 0, len(o.running))
	for _, op := range o.running {
		list = append(list, Status{What: op.what, Stage: *op.stage.Load(), Age: time.Since(op.begun)})
	}
	slices.SortFunc(list, func(a, b Status) int {
		if a.Age != b.Age {
			return int(b.Age - a.Age)
		}
		return strings.Compare(a.What, b.What)
	})
	return list
}

// Close refuses new work, cancels what runs, and waits for its end.
func (o *Operations) Close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.end()
	o.work.Wait()
}

type stageKey struct{}

// Stage says what the operation that ctx belongs to is at. Without one it
// does nothing.
func Stage(ctx context.Context, stage string) {
	if op, ok := ctx.Value(stageKey{}).(*operation); ok {
		op.stage.Store(&stage)
	}
}
