package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/trivet-cri/trivet/runtime/engine"
)

// dying is a task that takes some looks to end.
type dying struct {
	kill  error
	left  int   // looks until it has ended
	until error // what they find; nil for a process that runs
	other error
	kills int
}

func (d *dying) KillTask(_ context.Context, _ string, signal unix.Signal, _ bool) error {
	if signal == unix.SIGKILL {
		d.kills++
	}
	return d.kill
}

func (d *dying) DeleteTask(context.Context, string) error {
	if d.other != nil {
		return d.other
	}
	if d.left--; d.left >= 0 && d.until != nil {
		return d.until
	}
	if d.left >= 0 {
		return fmt.Errorf("it runs: %w", errdefs.ErrFailedPrecondition)
	}
	return nil
}

func TestEndTask(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	gone := engine.ShimError(status.Error(codes.Unknown, "failed to delete task: ttrpc: closed"))
	for name, test := range map[string]struct {
		task dying
		want []error
	}{
		"ends":             {task: dying{left: 3}},
		"is not there":     {task: dying{kill: errdefs.ErrNotFound}},
		"kill fails":       {task: dying{kill: broken}},
		"cannot be killed": {task: dying{kill: broken, left: 1 << 30}, want: []error{broken, errdefs.ErrFailedPrecondition}},
		"does not end":     {task: dying{left: 1 << 30}, want: []error{errdefs.ErrFailedPrecondition}},
		"its shim dies":    {task: dying{kill: gone, left: 3, until: gone}},
		"stays shimless":   {task: dying{kill: gone, left: 1 << 30, until: gone}, want: []error{errdefs.ErrUnavailable}},
		"delete fails":     {task: dying{other: broken}, want: []error{broken}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := engine.EndTask(ctx, &test.task, "id")
				if (err == nil) != (len(test.want) == 0) || test.task.kills != 1 {
					t.Errorf("got %v after %d kills", err, test.task.kills)
				}
				for _, want := range test.want {
					if !errors.Is(err, want) {
						t.Errorf("got %v, want %v", err, want)
					}
				}
			})
		})
	}
}
