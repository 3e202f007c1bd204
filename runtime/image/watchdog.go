package image

import (
	"context"
	"fmt"
	"time"
)

// looks is how often the watchdog looks within the timeout: a pull is given up
// at most a quarter late.
const looks = 4

// watchdog returns a context that is cancelled when the pull stands still for
// longer than timeout, 0 for never. The caller must call stop, which waits
// until the watchdog is gone.
func watchdog(ctx context.Context, m *meter, timeout time.Duration) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if timeout <= 0 {
		return ctx, cancel
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for sleep(ctx, timeout/looks) {
			if m.stalled(time.Now(), timeout) {
				cancel(fmt.Errorf("no progress for %s: %w", timeout, context.DeadlineExceeded))
				return
			}
		}
	}()
	return ctx, func(cause error) {
		cancel(cause)
		<-gone
	}
}
