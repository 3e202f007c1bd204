package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Rotator rotates containers' logs as a kubelet does, only more often: it
// renames the log, asks for another, and renames it back if that fails.
type Rotator struct {
	stop    context.CancelFunc
	done    sync.WaitGroup
	mu      sync.Mutex
	rotated int
	undone  int
	failed  []error
}

// rotatePeriod is longer than a second, for the names have seconds.
const rotatePeriod = 1100 * time.Millisecond

// StartRotator begins.
func StartRotator(ctx context.Context, cri *CRI, containers ...*Container) *Rotator {
	ctx, cancel := context.WithCancel(ctx)
	r := &Rotator{stop: cancel}
	for _, container := range containers {
		r.done.Go(func() {
			ticker := time.NewTicker(rotatePeriod)
			defer ticker.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
					r.note(rotateOnce(context.WithoutCancel(ctx), cri, container))
				}
			}
		})
	}
	return r
}

// rotateOnce tells whether the log was rotated; err says that it could neither
// be rotated nor put back.
func rotateOnce(ctx context.Context, cri *CRI, container *Container) (rotated bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	path := container.LogPath
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		_, err := cri.ReopenContainerLog(ctx, &runtimeapi.ReopenContainerLogRequest{ContainerId: container.ID})
		return err == nil, nil // it is tried again
	}
	renamed, err := container.Rotate(ctx, time.Now().Format("20060102-150405"))
	if renamed == "" {
		return false, err
	}
	if err != nil {
		return false, os.Rename(renamed, path)
	}
	return true, nil
}

// Rotate gives the container's log a name that ends with suffix and asks for
// another log. It returns the old one's name, empty if it has kept its own.
func (c *Container) Rotate(ctx context.Context, suffix string) (renamed string, err error) {
	renamed = c.LogPath + "." + suffix
	if err := os.Rename(c.LogPath, renamed); err != nil {
		return "", fmt.Errorf("rotate log: %w", err)
	}
	if _, err := c.cri.ReopenContainerLog(ctx, &runtimeapi.ReopenContainerLogRequest{ContainerId: c.ID}); err != nil {
		return renamed, fmt.Errorf("reopen log of container %s: %w", c.ID, err)
	}
	return renamed, nil
}

func (r *Rotator) note(rotated bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil:
		r.failed = append(r.failed, err)
	case rotated:
		r.rotated++
	default:
		r.undone++
	}
}

// Stop ends it and tells how often it rotated, and how often it took that back.
func (r *Rotator) Stop() (rotated, undone int, err error) {
	r.stop()
	r.done.Wait()
	return r.rotated, r.undone, errors.Join(r.failed...)
}
