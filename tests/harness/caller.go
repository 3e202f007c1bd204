package harness

import (
	"context"
	"fmt"
	"sync"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Caller connects to a CRI endpoint again and again, as short-lived clients
// do, and notes every call that fails: connections made while a group
// restarts must wait and succeed.
type Caller struct {
	stop    context.CancelFunc
	done    sync.WaitGroup
	mu      sync.Mutex
	calls   int
	slowest time.Duration
	refused []error
}

// callEvery is the pause between two new connections, callLimit the deadline
// of their call.
const (
	callEvery = 20 * time.Millisecond
	callLimit = 30 * time.Second
)

// StartCaller begins to call; Stop ends it.
func StartCaller(ctx context.Context, cri *CRI) *Caller {
	ctx, cancel := context.WithCancel(ctx)
	c := &Caller{stop: cancel}
	c.done.Go(func() {
		ticker := time.NewTicker(callEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				c.done.Go(func() { c.call(context.WithoutCancel(ctx), cri) })
			}
		}
	})
	return c
}

// call makes one connection and one call, and is not cut off by Stop.
func (c *Caller) call(ctx context.Context, cri *CRI) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	begun := time.Now()
	err := cri.again(ctx)
	took := time.Since(begun)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	c.slowest = max(c.slowest, took)
	if err != nil {
		c.refused = append(c.refused, fmt.Errorf("after %s: %w", took.Round(time.Millisecond), err))
	}
}

// again makes a call on a new connection.
func (c *CRI) again(ctx context.Context) error {
	fresh, err := DialCRI(c.Endpoint, c.lab)
	if err != nil {
		return err
	}
	defer func() { _ = fresh.Close() }()
	_, err = fresh.Version(ctx, &runtimeapi.VersionRequest{})
	return err
}

// Stop waits for the calls under way and returns how many there were, the
// slowest, and the errors of those that failed.
func (c *Caller) Stop() (calls int, slowest time.Duration, refused []error) {
	c.stop()
	c.done.Wait()
	return c.calls, c.slowest, c.refused
}
