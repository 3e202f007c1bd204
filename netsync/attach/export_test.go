package attach

import (
	"context"

	"github.com/trivet-cri/trivet/netsync/ledger"
)

// Gates are the gates of networks, for tests.
type Gates struct{ *gates }

// NewGates returns open gates.
func NewGates() Gates { return Gates{newGates()} }

// Enter is what ADD does.
func (g Gates) Enter(ctx context.Context, name string) (func(), error) { return g.enter(ctx, name) }

// Alone is what GC does.
func (g Gates) Alone(ctx context.Context, name string, fn func(context.Context) error) error {
	return g.alone(ctx, name, fn)
}

// Waiting tells whether a GC waits at the gate.
func (g Gates) Waiting(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.at(name).empty != nil
}

// Discard tears down an entry as a sweep has listed it.
func (a *Attachments) Discard(ctx context.Context, listed *ledger.Entry) []string {
	return a.discard(ctx, []*ledger.Entry{listed})
}
