package harness

import (
	"context"
	"fmt"
	"time"
)

// pollEvery is the pause between two looks at a condition.
const pollEvery = 25 * time.Millisecond

// Wait calls check until it returns nil and gives check's last error when ctx
// ends before that. what names the condition.
func Wait(ctx context.Context, what string, check func(context.Context) error) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	var err error
	for {
		last := check(ctx)
		if last == nil {
			return nil
		}
		if err == nil || ctx.Err() == nil { // an error of the end itself tells less
			err = last
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; last: %w", what, ctx.Err(), err)
		case <-ticker.C:
		}
	}
}

// WaitFor is Wait with a limit of its own.
func WaitFor(ctx context.Context, limit time.Duration, what string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return Wait(ctx, what, check)
}
