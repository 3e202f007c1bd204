package supervisor

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff describes the pauses between restarts.
type Backoff struct {
	// Min is the first pause; each further one is twice as long.
	Min time.Duration
	// Max is the longest pause.
	Max time.Duration
	// Reset is how long something must have served for the pauses to start over.
	Reset time.Duration
}

// pauses counts failures in a row. It belongs to one goroutine.
type pauses struct {
	Backoff
	failures int
}

// next is the pause after another failure of what has served that long. Up
// to a quarter is taken off at random, so that many machines that lost the
// same thing do not come back for it in step.
func (p *pauses) next(served time.Duration) time.Duration {
	if served >= p.Reset {
		p.failures = 0
	}
	pause := p.Max
	// Beyond 30 doublings the shift could overflow, and Max rules long before.
	if p.failures < 30 && p.Min<<p.failures < p.Max && p.Min<<p.failures > 0 {
		pause = p.Min << p.failures
	}
	p.failures++
	return pause - rand.N(pause/4+1)
}

// sleep waits for d or the end of ctx, and tells whether it was d.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
