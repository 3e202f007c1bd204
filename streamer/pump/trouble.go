package pump

import (
	"sync/atomic"
	"time"
)

// trouble is the state of a log that cannot be written.
type trouble struct {
	since   time.Time // of the first failure in a row; zero without trouble
	retryAt time.Time
	warned  time.Time
	backoff time.Duration
	dropped atomic.Uint64 // bytes of output, ever
	before  uint64        // dropped, at the last recovery
}

// wait is how long to hold back before the next attempt.
func (t *trouble) wait(now time.Time) time.Duration {
	if t.retryAt.IsZero() {
		return 0
	}
	return max(t.retryAt.Sub(now), 0)
}

// fail notes a failed attempt. drop says that the container has been held
// back for long enough.
func (t *trouble) fail(now time.Time, limits tuning) (wait time.Duration, drop bool) {
	if t.since.IsZero() {
		t.since, t.backoff = now, 0
	}
	if now.Sub(t.since) >= limits.stall {
		return 0, true
	}
	t.backoff = min(max(2*t.backoff, limits.backoff), limits.backoffMax)
	t.retryAt = now.Add(t.backoff)
	return t.backoff, false
}

// first tells once in a row of failures.
func (t *trouble) first() bool {
	first := t.warned.Before(t.since)
	if first {
		t.warned = t.since
	}
	return first
}

// shouldWarn limits the warnings about dropped output.
func (t *trouble) shouldWarn(now time.Time, every time.Duration) bool {
	if t.dropped.Load() == 0 || now.Sub(t.warned) < every && !t.warned.Equal(t.since) {
		return false
	}
	t.warned = now
	return true
}

// recovered notes a successful append.
func (p *pump) recovered() {
	t := &p.trouble
	if t.since.IsZero() {
		return
	}
	dropped := t.dropped.Load() - t.before
	p.log.Info("log is written again", "log", p.request.GetLogPath(),
		"dropped_bytes", dropped, "after", time.Since(t.since))
	t.since, t.retryAt, t.before = time.Time{}, time.Time{}, t.dropped.Load()
}
