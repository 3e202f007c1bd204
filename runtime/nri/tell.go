package nri

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"

	"github.com/trivet-cri/trivet/internal/telemetry"
)

// queue has what plugins are still to be told, in order.
type queue struct {
	mu    sync.Mutex
	items []func(context.Context)
	late  bool          // somebody has waited in vain, and not all was done since
	more  chan struct{} // has a token when there are items
}

func newQueue() *queue { return &queue{more: make(chan struct{}, 1)} }

// add tells whether the queue is late.
func (q *queue) add(item func(context.Context)) (late bool) {
	q.mu.Lock()
	q.items = append(q.items, item)
	late = q.late
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
	return late
}

func (q *queue) isLate() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.late = true
}

// take returns what there is to do. Who takes all that there was is not late.
func (q *queue) take() []func(context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items = nil
	q.late = q.late && len(items) > 0
	return items
}

// run works off the queue until ctx ends.
func (q *queue) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.more:
		}
		for items := q.take(); len(items) > 0; items = q.take() {
			for _, item := range items {
				if ctx.Err() != nil {
					return
				}
				item(ctx)
			}
		}
	}
}

// tell is a hook that nothing depends on. It is queued, and waited for no
// longer than plugins may take for one hook, and not at all behind one that was
// waited for in vain: a slow plugin must not hold up the end of anything. Who is
// not reached in the hook's time hears of it in another turn. news, unless nil,
// tells whether there is anything to tell, and is called once. What fails is
// logged.
func (p *Plugins) tell(ctx context.Context, event api.Event, id string, news func(id string) bool, call hook) {
	done := make(chan struct{})
	late := p.tells.add(func(life context.Context) {
		defer close(done)
		// The trace is the caller's, the end is ours.
		traced, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		err := telemetry.Span(traced, "nri "+event.PrettyName(), func(ctx context.Context) error {
			return p.tellAll(ctx, id, news, call)
		})
		if err != nil && life.Err() == nil {
			p.Log.WarnContext(traced, "NRI plugin has failed a hook that changes nothing", "hook", event.PrettyName(), subject(event), id, "error", err)
		}
	})
	if late {
		return
	}
	timer := time.NewTimer(p.Config.PluginRequestTimeout.Std())
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		p.tells.isLate()
		p.Log.WarnContext(ctx, "NRI plugins are told later", "hook", event.PrettyName(), subject(event), id)
	case <-ctx.Done():
	}
}

// subject is the log field for the id of whom an event is about.
func subject(event api.Event) string {
	if strings.HasSuffix(event.PrettyName(), "PodSandbox") {
		return telemetry.PodID
	}
	return telemetry.ContainerID
}

// tellAll takes as many turns as it needs for all plugins to hear.
func (p *Plugins) tellAll(ctx context.Context, id string, news func(id string) bool, call hook) error {
	by := newCalls(p.Config.PluginRequestTimeout.Std(), true)
	var failed []error
	for again := true; again; again = by.again() && ctx.Err() == nil {
		failed = append(failed, p.hook(ctx, by, func(ctx context.Context, library *adaptation.Adaptation) error {
			isNews := news == nil || news(id)
			news = nil
			if !isNews || library == nil {
				return nil
			}
			return call(ctx, library)
		}))
	}
	return errors.Join(append(failed, by.failures()...)...)
}
