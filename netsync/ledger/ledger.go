// Package ledger records every attachment on disk: the intent before ADD, the
// result after it, removed after DEL.
//
// The invariant: once a write has returned it survives a crash, and whatever
// a plugin may have begun is in the ledger. Reads come from memory and never
// wait for the disk. A record that cannot be read is set aside, never fatal.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

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
}

// Open opens or creates the ledger in dir. A process of an older generation
// may hold the file while it drains, so Open waits for as long as ctx allows.
func Open(ctx context.Context, dir string) (*Ledger, error) {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("make directory of ledger: %w", err)
	}
	path := filepath.Join(dir, File)
	db, err := openFile(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", path, err)
	}
	l := &Ledger{db: db, commit: make(chan struct{}, 1)}
	loaded, err := l.load()
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("read ledger %s: %w", path, err)
	}
	l.index = latest.New(loaded)
	return l, nil
}

func openFile(ctx context.Context, path string) (*bbolt.DB, error) {
	for {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:        lockTry,
			NoFreelistSync: true, // one page less a commit; rebuilt at open
			FreelistType:   bbolt.FreelistMapType,
		})
		if !errors.Is(err, bolterrors.ErrTimeout) {
			return db, err
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("another process holds it: %w", ctx.Err())
		}
	}
}

// load reads everything into memory.
func (l *Ledger) load() (*index, error) {
	loaded := &index{entries: make(map[string]*Entry), unreadable: make(map[string]error)}
	err := l.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		if text := string(tx.Bucket(node).Get(podCIDRs)); text != "" {
			loaded.cidrs = strings.Split(text, ",")
		}
		return tx.Bucket(attachments).ForEach(func(key, value []byte) error {
			id := string(key)
			if e, err := Decode(id, value); err != nil {
				loaded.unreadable[id] = err
			} else {
				loaded.entries[id] = e
			}
			return nil
		})
	})
	return loaded, err
}

// Close closes the file. No other method may run or follow.
func (l *Ledger) Close() error {
	if err := l.db.Close(); err != nil {
		return fmt.Errorf("close ledger: %w", err)
	}
	return nil
}

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
