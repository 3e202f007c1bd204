package exec

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// Sync runs a command and returns its output, capped, and exit code, which
// is no error. Output that comes later than the drain limit after the exit
// is not waited for: a child may hold the streams for years.
//
// Errors: ErrInvalidArgument, ErrNotFound (no such container),
// ErrFailedPrecondition (not running), context.DeadlineExceeded (the timeout
// or ctx passed; the command and its children are killed), and what the OCI
// runtime says when it cannot run the command.
func (x *Execs) Sync(ctx context.Context, r *streamerv1.ExecSyncRequest) (*streamerv1.ExecSyncResponse, error) {
	container := r.GetContainer().GetId()
	c, err := x.launch(ctx, container, r.GetCmd(), wanted{stdout: true, stderr: true}, false)
	if err != nil {
		return nil, err
	}
	out := c.collect(x.config.OutputLimit)
	limited, cancel := withTimeout(ctx, r.GetTimeout().AsDuration())
	defer cancel()
	code, err := c.wait(limited)
	if err != nil {
		c.release(ctx)
		out.finish(time.Now())
		if limited.Err() != nil {
			return nil, timedOut(limited, r)
		}
		return nil, err
	}
	if out.finish(time.Now().Add(x.config.Drain)) {
		c.release(ctx)
	} else {
		// The shim waits for the streams too when it deletes the process.
		x.live.Go(func() { c.release(ctx) })
	}
	return &streamerv1.ExecSyncResponse{
		Stdout: out.stdout.data, Stderr: out.stderr.data, ExitCode: int32(code),
		Truncated: out.stdout.truncated || out.stderr.truncated,
	}, nil
}

func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

func timedOut(ctx context.Context, r *streamerv1.ExecSyncRequest) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("command in container %q was killed because its caller left: %w", r.GetContainer().GetId(), ctx.Err())
	}
	limit := "the call's deadline"
	if d := r.GetTimeout().AsDuration(); d > 0 {
		limit = d.String()
	}
	return fmt.Errorf("command in container %q was killed after %s: %w", r.GetContainer().GetId(), limit, context.DeadlineExceeded)
}

// collected is the output of a command.
type collected struct {
	outputs        [2]*output
	stdout, stderr *capped
	ended          chan struct{}
}

// collect reads both streams until they end or finish is called, which the
// caller must do before it looks at the data.
func (c *command) collect(limit int) *collected {
	result := &collected{
		outputs: [2]*output{{file: c.pipes.stdout}, {file: c.pipes.stderr}},
		stdout:  &capped{limit: limit}, stderr: &capped{limit: limit},
		ended: make(chan struct{}),
	}
	var copies sync.WaitGroup
	copies.Go(func() { result.outputs[0].copyTo(result.stdout) })
	copies.Go(func() { result.outputs[1].copyTo(result.stderr) })
	c.x.live.Go(func() {
		defer close(result.ended)
		copies.Wait()
	})
	return result
}

// finish waits for the streams' ends until limit, and tells whether they came.
func (o *collected) finish(limit time.Time) bool {
	for _, output := range o.outputs {
		output.by(limit)
	}
	<-o.ended
	return time.Now().Before(limit)
}
