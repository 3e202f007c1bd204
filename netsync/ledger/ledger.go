// Package ledger records every attachment on disk: the intent before ADD, the
// result after it, removed after DEL.
//
// The invariant: once a write has returned it survives a crash, and whatever
// a plugin may have begun is in the ledger. Reads come from memory and never
// wait for the disk. A record that cannot be read is set aside, never fatal.
package ledger

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"go.etcd.io/bbolt"

	"github.com/trivet-cri/trivet/netsync/latest"
)

// File is the ledger's name in the root directory.
const File = "network-ledger.db"

// lockTry is how long one try to lock the file takes.
const lockTry = 100 * time.Millisecond

var (
	attachments = []byte("attachments")
	node        = []byte("node")
	podCIDRs    = []byte("pod-cidrs")
	buckets     = [][]byte{attachments, node}
)

// index is what the ledger holds; it is replaced, never changed.
type index struct {
	entries    map[string]*Entry
	unreadable map[string]error // by pod id
	cidrs      []string
}

// Ledger is the open file. It is safe for concurrent use.
type Ledger struct {
	db    *bbolt.DB
	index *latest.Value[*index]

	mu     sync.Mutex // guards queue, never held over I/O
	queue  []*write
	commit chan struct{} // holds the token of the one who commits
	damage error         // why an older file was moved aside
}

// Close closes the file. No other method may run or follow.
func (l *Ledger) Close() error {
	if err := l.db.Close(); err != nil {
		return fmt.Errorf("close ledger: %w", err)
	}
	return nil
}

// Damage says why Open had to begin a new file, nil if it had not.
func (l *Ledger) Damage() error { return l.damage }

// Get returns a pod's entry. Errors: ErrNotFound; ErrInvalidArgument when
// there is one that cannot be read.
func (l *Ledger) Get(podID string) (*Entry, error) {
	index := l.index.Get()
	if e, ok := index.entries[podID]; ok {
		return e, nil
	}
	if err, ok := index.unreadable[podID]; ok {
		return nil, err
	}
	return nil, fmt.Errorf("attachment of pod %q: %w", podID, errdefs.ErrNotFound)
}

// List returns all entries that can be read, the oldest first.
func (l *Ledger) List() []*Entry {
	return slices.SortedFunc(maps.Values(l.index.Get().entries), func(a, b *Entry) int {
		return a.Started.Compare(b.Started)
	})
}

// Unreadable returns the ids of pods whose entries cannot be read, with why.
func (l *Ledger) Unreadable() map[string]error { return l.index.Get().unreadable }

// Count returns the number of entries and a channel that is closed when the
// ledger changes.
func (l *Ledger) Count() (int, <-chan struct{}) {
	index, changed := l.index.Watch()
	return len(index.entries) + len(index.unreadable), changed
}

// PodCIDRs returns the node's pod CIDRs, none if they are not known.
func (l *Ledger) PodCIDRs() []string { return l.index.Get().cidrs }
