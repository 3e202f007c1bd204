package nri

import (
	"context"
	"sync"
	"time"

	"github.com/containerd/nri/pkg/api"

	"github.com/trivet-cri/trivet/internal/telemetry"
)

// queue has what plugins are still to be told, in order.
type queue struct {
	mu    sync.Mutex
	items []func(context.Context)
	more  chan struct{} // has a token when there are items
}

func newQueue() *queue { return &queue{more: make(chan struct{}, 1)} }

func (q *queue) add(item func(context.Context)) {
	q.mu.Lock()
	q.items = append(q.items, item)
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// run works off the queue until ctx ends.
func (q *queue) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.more:
		}
		q.mu.Lock()
		items := q.items
		q.items = nil
		q.mu.Unlock()
		for _, item := range items {
			if ctx.Err() != nil {
				return
			}
			item(ctx)
		}
	}
}

// tell is a hook that nothing depends on. It is queued, and waited for no
// longer than a single plugin may take: a slow one must not hold up the end of
// anything. What fails is logged.
func (p *Plugins) tell(ctx context.Context, event api.Event, id string, call hook) {
	done := make(chan struct{})
	p.tells.add(func(life context.Context) {
		defer close(done)
		// The trace is the caller's, the end is ours.
		traced, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		err := telemetry.Span(traced, "nri "+event.PrettyName(), func(ctx context.Context) error {
			_, err := p.hook(ctx, call)
			return err
		})
		if err != nil && life.Err() == nil {
			p.Log.WarnContext(traced, "NRI plugin has failed a hook that changes nothing", "hook", event.PrettyName(), "id", id, "error", err)
		}
	})
	timer := time.NewTimer(p.Config.PluginRequestTimeout.Std())
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		p.Log.WarnContext(ctx, "NRI plugins are told later", "hook", event.PrettyName(), "id", id)
	case <-ctx.Done():
	}
}
