package engine

import (
	"context"
	"errors"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// TaskEnder is what EndTask needs; *Engine has it.
type TaskEnder interface {
	KillTask(ctx context.Context, id string, signal unix.Signal, all bool) error
	DeleteTask(ctx context.Context, id string) error
}

// endPause is between two looks whether a killed process has ended.
const endPause = 10 * time.Millisecond

// EndTask kills and deletes a task, in whatever state it is. One that is not
// there is no error; one whose process has not ended when ctx does is
// errdefs.ErrFailedPrecondition, and one that could not be killed says why. The
// end of a shim that has just died is waited for.
func EndTask(ctx context.Context, tasks TaskEnder, id string) error {
	killed := tasks.KillTask(ctx, id, unix.SIGKILL, false)
	if errdefs.IsNotFound(killed) || errors.Is(killed, errShimGone) {
		killed = nil
	}
	for {
		err := tasks.DeleteTask(ctx, id)
		if err == nil {
			return nil
		}
		if killed != nil || !errdefs.IsFailedPrecondition(err) && !errors.Is(err, errShimGone) {
			return errors.Join(killed, err) // who did not hear it, will not end
		}
		// Killed, or its shim is, but the end has not been noticed yet.
		select {
		case <-ctx.Done():
			return err
		case <-time.After(endPause):
		}
	}
}
