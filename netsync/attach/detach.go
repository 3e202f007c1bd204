package attach

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/netsync/ledger"
)

// Detach takes a pod off its networks; nothing to take off is no error. An
// attachment under way is cancelled and undone first; a detachment under way
// is joined. When ctx ends the work goes on. Errors: ErrInvalidArgument,
// ErrUnavailable (this process stops), DeadlineExceeded (detach_timeout), else a
// plugin's own; the entry then stays in the ledger and is tried again.
func (a *Attachments) Detach(ctx context.Context, podID string) error {
	if err := ident.Check("pod id", podID); err != nil {
		return err
	}
	_, err := a.operations.join(ctx, podID, detaching, func(_, base context.Context) (*ledger.Result, error) {
		return nil, a.release(base, podID)
	})
	return err
}

// Check runs the CNI verb CHECK on an attached pod. Errors: ErrNotFound when
// it is not attached, DeadlineExceeded, else a plugin's own.
func (a *Attachments) Check(ctx context.Context, podID string) error {
	if err := ident.Check("pod id", podID); err != nil {
		return err
	}
	_, err := a.operations.join(ctx, podID, checking, func(work, _ context.Context) (*ledger.Result, error) {
		entry, err := a.ledger.Get(podID)
		if err != nil {
			return nil, err
		}
		if entry.State != ledger.Attached {
			return nil, fmt.Errorf("pod %q is not attached, only %s: %w", podID, entry.State, errdefs.ErrNotFound)
		}
		work, cancel := context.WithTimeout(work, a.options.AttachTimeout)
		defer cancel()
		return nil, why(work, a.check(work, entry))
	})
	return err
}

// release undoes whatever is on record of the pod. The pod's operation calls it.
func (a *Attachments) release(ctx context.Context, podID string) error {
	begin := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, a.options.DetachTimeout,
		fmt.Errorf("detach_timeout of %s: %w", a.options.DetachTimeout, context.DeadlineExceeded))
	defer cancel()
	entry, err := a.ledger.Get(podID)
	if err != nil {
		// Nothing on record, or nothing legible: libcni may know more.
		if entry, err = a.remembered(podID); err != nil {
			return err
		}
	}
	if entry.State == ledger.Attached {
		// Or else a crash in the middle would leave half an attachment that
		// the next Attach takes for a whole one.
		marked := *entry
		marked.State = ledger.Detaching
		if err := a.record(ctx, &marked); err != nil {
			return why(ctx, err)
		}
	}
	if err := a.delete(ctx, entry); err != nil {
		return why(ctx, err)
	}
	if _, err := a.ledger.Get(podID); errdefs.IsNotFound(err) {
		return nil
	}
	if err := a.ledger.Remove(ctx, podID); err != nil {
		return why(ctx, err)
	}
	a.log.InfoContext(ctx, "pod detached", append(podOf(entry.Pod), "took", time.Since(begin).Round(time.Millisecond))...)
	return nil
}

// remembered makes an entry of what libcni's cache has of a pod; without
// networks when it has nothing.
func (a *Attachments) remembered(podID string) (*ledger.Entry, error) {
	targets, err := a.collector.Remembered(podID)
	if err != nil {
		return nil, err
	}
	entry := &ledger.Entry{State: ledger.Intended, Pod: ledger.Pod{ID: podID}}
	for _, t := range targets {
		entry.NetNS, entry.Args, entry.Capabilities = t.NetNS, t.Args, t.Capabilities
		entry.Networks = append(entry.Networks, ledger.Network{Name: t.Network, Interface: t.Interface, Config: t.Config})
	}
	return entry, nil
}
