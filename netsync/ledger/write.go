package ledger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/bbolt"
)

// write is one change on its way to the disk.
type write struct {
	disk   func(*bbolt.Tx) error
	memory func(*index)
	done   chan struct{}
	err    error // valid after done
}

// Put records e under its pod's id. e must not be changed afterwards.
func (l *Ledger) Put(ctx context.Context, e *Entry) error {
	data, err := e.encode()
	if err != nil {
		return err
	}
	err = l.write(ctx, &write{
		disk: func(tx *bbolt.Tx) error { return tx.Bucket(attachments).Put([]byte(e.Pod.ID), data) },
		memory: func(i *index) {
			i.entries[e.Pod.ID] = e
			delete(i.unreadable, e.Pod.ID)
		},
	})
	if err != nil {
		return fmt.Errorf("record attachment of pod %s as %s: %w", e.Pod.ID, e.State, err)
	}
	return nil
}

// Remove forgets a pod; it is no error if there is nothing to forget.
func (l *Ledger) Remove(ctx context.Context, podID string) error {
	err := l.write(ctx, &write{
		disk: func(tx *bbolt.Tx) error { return tx.Bucket(attachments).Delete([]byte(podID)) },
		memory: func(i *index) {
			delete(i.entries, podID)
			delete(i.unreadable, podID)
		},
	})
	if err != nil {
		return fmt.Errorf("remove attachment of pod %s from the ledger: %w", podID, err)
	}
	return nil
}

// SetPodCIDRs records the node's pod CIDRs; none clears them.
func (l *Ledger) SetPodCIDRs(ctx context.Context, cidrs []string) error {
	cidrs = slices.Clone(cidrs)
	err := l.write(ctx, &write{
		disk: func(tx *bbolt.Tx) error {
			return tx.Bucket(node).Put(podCIDRs, []byte(strings.Join(cidrs, ",")))
		},
		memory: func(i *index) { i.cidrs = cidrs },
	})
	if err != nil {
		return fmt.Errorf("record pod CIDRs: %w", err)
	}
	return nil
}

// write queues w and returns when it is on disk. Whoever holds the token
// commits all that has queued up meanwhile in one transaction, so that many
// pods starting at once share a sync of the disk. A caller whose ctx ends
// while it queues takes its write back.
func (l *Ledger) write(ctx context.Context, w *write) error {
	w.done = make(chan struct{})
	l.mu.Lock()
	l.queue = append(l.queue, w)
	l.mu.Unlock()
	select {
	case <-w.done:
		return w.err
	case l.commit <- struct{}{}:
		l.commitQueue()
		<-l.commit
	case <-ctx.Done():
		if l.withdraw(w) {
			return ctx.Err()
		}
	}
	// Done, or in the hands of the one who commits right now.
	<-w.done
	return w.err
}

func (l *Ledger) withdraw(w *write) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.queue)
	l.queue = slices.DeleteFunc(l.queue, func(other *write) bool { return other == w })
	return len(l.queue) < before
}

// commitQueue writes what is queued. The caller holds the token.
func (l *Ledger) commitQueue() {
	l.mu.Lock()
	batch := l.queue
	l.queue = nil
	l.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	err := l.db.Update(func(tx *bbolt.Tx) error {
		for _, w := range batch {
			if err := w.disk(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		l.index.Update(func(old *index) *index {
			next := &index{maps.Clone(old.entries), maps.Clone(old.unreadable), old.cidrs}
			for _, w := range batch {
				w.memory(next)
			}
			return next
		})
	}
	for _, w := range batch {
		w.err = err
		close(w.done)
	}
}
