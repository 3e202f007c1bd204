package attach

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/netsync/ledger"
)

// sweepers is how many leftovers are torn down at the same time.
const sweepers = 8

// Sweep tears down every attachment of a pod that is not in podIDs and
// returns those that are gone. podIDs are all pods as of a time: attachments
// that began later are not touched, and none that somebody waits for. What
// cannot be torn down is logged and tried again. Errors: ErrInvalidArgument.
func (a *Attachments) Sweep(ctx context.Context, podIDs []string, asOf time.Time) ([]string, error) {
	for _, id := range podIDs {
		if err := ident.Check("pod id", id); err != nil {
			return nil, err
		}
	}
	keep := append([]string{}, podIDs...) // not nil: also no pods are an answer
	slices.Sort(keep)
	leftover := func(id string) bool {
		_, found := slices.BinarySearch(keep, id)
		return !found && !a.operations.wanted(id)
	}
	var garbage []*ledger.Entry
	for _, entry := range a.ledger.List() {
		if !entry.Started.After(asOf) && leftover(entry.Pod.ID) {
			garbage = append(garbage, entry)
		}
	}
	for id := range a.ledger.Unreadable() {
		if leftover(id) {
			garbage = append(garbage, &ledger.Entry{Pod: ledger.Pod{ID: id}})
		}
	}
	removed := a.discard(ctx, garbage)
	a.swept.Set(keep)
	return removed, nil
}

// discard tears entries down and returns the pods whose entries are gone.
func (a *Attachments) discard(ctx context.Context, garbage []*ledger.Entry) []string {
	var group errgroup.Group
	group.SetLimit(sweepers)
	var mu sync.Mutex
	var removed []string
	for _, entry := range garbage {
		group.Go(func() error {
			id, spared := entry.Pod.ID, false
			_, err := a.operations.join(ctx, id, detaching, func(_, base context.Context) (*ledger.Result, error) {
				// By now the pod may have been attached anew.
				if now, err := a.ledger.Get(id); err == nil && !now.Started.Equal(entry.Started) {
					spared = true
					return nil, nil
				}
				return nil, a.release(base, id)
			})
			if err != nil {
				a.log.WarnContext(ctx, "leftover attachment stays for now", append(podOf(entry.Pod), "error", err)...)
				return nil
			}
			if spared {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			removed = append(removed, id)
			return nil
		})
	}
	_ = group.Wait()
	return removed
}
