package pump

import (
	"sync/atomic"
	"time"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// trouble is the state of a log that cannot be written.
type trouble struct {
	since   time.Time // of the first failure in a row; zero without trouble
	retryAt time.Time
	warned  time.Time
	backoff time.Duration
	dropped atomic.Uint64 // bytes of output, ever
	before  uint64        // dropped, at the last recovery

	now     atomic.Pointer[failure] // for others; nil while the log is written
	limited atomic.Bool             // for others: held back by the rate limit
}

// failure is what others see of a log that cannot be written.
type failure struct {
	since   time.Time
	err     error
	dropped bool // output is dropped, not held back
}

// Trouble is what is wrong with a container's log.
type Trouble struct {
	Container *streamerv1.Container
	Path      string
	State     streamerv1.TroubledLog_State
	Since     time.Time // zero with STATE_LIMITED
	Err       error     // nil with STATE_LIMITED
	Dropped   uint64    // bytes of output, since the start
}

// Troubles are the logs into which output does not go as it comes, and how
// many bytes of output were dropped since the start, also of containers that
// are gone.
func (p *Pumps) Troubles() (troubles []Trouble, dropped uint64) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, e := range p.entries {
		pump := e.opened()
		if pump == nil {
			continue
		}
		if t, ok := pump.troubled(); ok {
			troubles = append(troubles, t)
		}
	}
	return troubles, p.dropped.Load()
}

func (p *pump) troubled() (t Trouble, ok bool) {
	t = Trouble{Container: p.request.GetContainer(), Path: p.request.GetLogPath(), Dropped: p.trouble.dropped.Load()}
	now := p.trouble.now.Load()
	switch {
	case now == nil:
		t.State = streamerv1.TroubledLog_STATE_LIMITED
		return t, p.trouble.limited.Load()
	case now.dropped:
		t.State = streamerv1.TroubledLog_STATE_DROPPED
	default:
		t.State = streamerv1.TroubledLog_STATE_HELD_BACK
	}
	t.Since, t.Err = now.since, now.err
	return t, true
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
	t.now.Store(nil)
}
