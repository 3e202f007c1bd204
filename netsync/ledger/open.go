package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/netsync/latest"
)

// damagedSuffix is added to the name of a file that cannot be read.
const damagedSuffix = ".damaged"

// Open opens or creates the ledger in dir. A process of an older generation
// may hold the file while it drains, so Open waits for as long as ctx allows.
// A file that is damaged is moved aside and a new one begun, see Damage:
// libcni's cache still knows what to undo, a node without netsync nothing.
func Open(ctx context.Context, dir string) (*Ledger, error) {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("make directory of ledger: %w", err)
	}
	path := filepath.Join(dir, File)
	l, err := openFile(ctx, path)
	if err == nil || !damaged(err) {
		return l, err
	}
	damage := fmt.Errorf("%w: moved to %s", err, path+damagedSuffix)
	if err := os.Rename(path, path+damagedSuffix); err != nil {
		return nil, fmt.Errorf("move damaged ledger aside: %w", err)
	}
	if l, err = openFile(ctx, path); err != nil {
		return nil, err
	}
	l.damage = damage
	return l, nil
}

// openFile opens the file and reads it into memory.
func openFile(ctx context.Context, path string) (l *Ledger, err error) {
	// The file is mapped: what is missing at its end is a fault.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			l, err = nil, fmt.Errorf("open ledger %s: %v", path, p)
		}
	}()
	db, err := lockFile(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", path, err)
	}
	loaded, err := load(db)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read ledger %s: %w", path, err), db.Close())
	}
	return &Ledger{db: db, index: latest.New(loaded), commit: make(chan struct{}, 1)}, nil
}

func lockFile(ctx context.Context, path string) (*bbolt.DB, error) {
	for {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:      lockTry,
			FreelistType: bbolt.FreelistMapType,
			// The list of free pages is written with each commit. To find them
			// at open, bbolt would read all pages in a goroutine of its own,
			// where a fault cannot be caught.
			NoFreelistSync: false,
		})
		if !errors.Is(err, bolterrors.ErrTimeout) {
			return db, err
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("another process holds it: %w", ctx.Err())
		}
	}
}

// damaged tells whether opening failed because of what is in the file; the
// kernel's errors and a lock held by another process say nothing about that.
func damaged(err error) bool {
	var number unix.Errno
	var path *fs.PathError
	return !errors.As(err, &number) && !errors.As(err, &path) &&
		!errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}

// load reads everything into memory.
func load(db *bbolt.DB) (*index, error) {
	loaded := &index{entries: make(map[string]*Entry), unreadable: make(map[string]error)}
	err := db.Update(func(tx *bbolt.Tx) error {
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
