package container

import (
	"context"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/runtime/users"
)

// maxAccounts bounds how many images' accounts are remembered.
const maxAccounts = 1000

// accounts remembers the users and groups of images. Layers never change, so
// what was read once holds, and the second container of an image needs no view
// of its layers.
type accounts struct {
	known   sync.Map // chain id → *users.Database
	mu      sync.Mutex
	count   int
	flights *singleflight.Group
}

// of reads the accounts of the image whose layers are chainID.
func (a *accounts) of(ctx context.Context, snapshots Snapshots, snapshotter, chainID string) (*users.Database, error) {
	if found, ok := a.known.Load(chainID); ok {
		return found.(*users.Database), nil
	}
	// Whoever waits has a deadline of its own, so one caller's end must not
	// be everybody's error.
	result := a.flights.DoChan(snapshotter+"/"+chainID, func() (any, error) {
		return a.read(context.WithoutCancel(ctx), snapshots, snapshotter, chainID)
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*users.Database), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("read the image's users: %w", context.Cause(ctx))
	}
}

func (a *accounts) read(ctx context.Context, snapshots Snapshots, snapshotter, chainID string) (*users.Database, error) {
	ctx, cancel := context.WithTimeout(ctx, undoLimit)
	defer cancel()
	var found *users.Database
	err := telemetry.Span(ctx, "image.users", func(ctx context.Context) error {
		return snapshots.WithImage(ctx, snapshotter, chainID, func(dir string) error {
			root, err := os.OpenRoot(dir)
			if err != nil {
				return fmt.Errorf("open image root: %w", err)
			}
			defer func() { _ = root.Close() }() // only read from
			found, err = users.Read(root)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read the image's users: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.count < maxAccounts {
		a.count++
		a.known.Store(chainID, found)
	}
	return found, nil
}
