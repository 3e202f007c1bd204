package attach

import (
	"context"
	"sync"
)

// gates keep a network's GC apart from ADD, DEL and CHECK, as the CNI
// specification demands. Pods come first: whoever enters cancels a GC that
// is under way and waits only until it has died.
type gates struct {
	mu     sync.Mutex // never held while a plugin runs
	byName map[string]*gate
}

type gate struct {
	inside int           // operations on pods
	empty  chan struct{} // closed when inside becomes 0; nil if nobody waits
	alone  *occupant     // the GC under way
}

type occupant struct {
	cancel context.CancelFunc
	gone   chan struct{}
}

func newGates() *gates { return &gates{byName: make(map[string]*gate)} }

// at returns the gate of a network. The caller holds mu.
func (g *gates) at(name string) *gate {
	if g.byName[name] == nil {
		g.byName[name] = &gate{}
	}
	return g.byName[name]
}

// enter lets an operation on a pod in; the returned function lets it out.
func (g *gates) enter(ctx context.Context, name string) (func(), error) {
	for {
		g.mu.Lock()
		gate := g.at(name)
		collecting := gate.alone
		if collecting == nil {
			gate.inside++
			g.mu.Unlock()
			return func() { g.leave(gate) }, nil
		}
		g.mu.Unlock()
		collecting.cancel()
		select {
		case <-collecting.gone:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (g *gates) leave(gate *gate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate.inside--
	if gate.inside == 0 && gate.empty != nil {
		close(gate.empty)
		gate.empty = nil
	}
}

// alone runs fn while no operation on a pod is inside. fn's context ends when
// one wants to enter.
func (g *gates) alone(ctx context.Context, name string, fn func(context.Context) error) error {
	for {
		g.mu.Lock()
		gate := g.at(name)
		if gate.inside == 0 {
			ctx, cancel := context.WithCancel(ctx)
			self := &occupant{cancel: cancel, gone: make(chan struct{})}
			gate.alone = self
			g.mu.Unlock()
			defer func() {
				cancel()
				g.mu.Lock()
				gate.alone = nil
				g.mu.Unlock()
				close(self.gone)
			}()
			return fn(ctx)
		}
		if gate.empty == nil {
			gate.empty = make(chan struct{})
		}
		empty := gate.empty
		g.mu.Unlock()
		select {
		case <-empty:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
