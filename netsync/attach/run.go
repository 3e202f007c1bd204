package attach

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/netsync/ledger"
)

// Run tears down what a crash has left half done, collects garbage after each
// Sweep and every interval, and when ctx ends lets running operations finish
// or undoes them.
func (a *Attachments) Run(ctx context.Context) error {
	for id, err := range a.ledger.Unreadable() {
		a.log.WarnContext(ctx, "attachment on record cannot be read, set aside until its pod goes", telemetry.PodID, id, "error", err)
	}
	a.retry(ctx)
	ticker := time.NewTicker(a.options.GCInterval)
	defer ticker.Stop()
	for {
		keep, swept := a.swept.Watch()
		if keep != nil {
			a.collect(ctx, keep)
		}
		select {
		case <-ctx.Done():
			a.drain()
			return nil
		case <-swept:
		case <-ticker.C:
			a.retry(ctx)
		}
	}
}

// retry tears down what is half done and in nobody's hands.
func (a *Attachments) retry(ctx context.Context) {
	var garbage []*ledger.Entry
	for _, entry := range a.ledger.List() {
		if entry.State != ledger.Attached && !a.operations.busy(entry.Pod.ID) {
			garbage = append(garbage, entry)
		}
	}
	if len(garbage) > 0 {
		a.log.InfoContext(ctx, "tearing down half-done attachments", "count", len(garbage))
		a.discard(ctx, garbage)
	}
}

// drain ends all operations within the grace: the first half is for them to
// finish, then attachments are cancelled and undone, and shortly before the
// end everything is cut off; the ledger then knows what is left to do.
func (a *Attachments) drain() {
	var waiting errgroup.Group
	defer func() { _ = waiting.Wait() }()
	idle := a.operations.close(&waiting)
	grace := a.options.Grace
	if ended(idle, grace/2) {
		return
	}
	a.operations.each(func(op *operation) { op.giveUp(errStopping) })
	if ended(idle, grace*3/8) {
		return
	}
	a.operations.each(func(op *operation) { op.abandon(errStopping) })
}

func ended(idle <-chan struct{}, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-idle:
		return true
	case <-timer.C:
		return false
	}
}
