package exec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/trivet-cri/trivet/internal/telemetry"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// replyLimit is what a reply may have of both outputs, in bytes: a kubelet
// takes messages of 16 MiB, and would refuse a bigger one as a whole.
const replyLimit = 16<<20 - 4<<10

// Sync runs a command and returns its output, capped, and exit code, which
// is no error. Nor is it one, by the CRI, that output was cut off; the log says so. Output that comes later than the drain limit after the exit
// is not waited for: a child may hold the streams for years.
//
// Errors: ErrInvalidArgument, ErrNotFound (no such container),
// ErrFailedPrecondition (not running), context.DeadlineExceeded (the timeout
// or ctx passed; the command and its children are killed), and what the OCI
// runtime says when it cannot run the command.
func (x *Execs) Sync(ctx context.Context, r *streamerv1.ExecSyncRequest) (*streamerv1.ExecSyncResponse, error) {
	container, timeout := r.GetContainer().GetId(), r.GetTimeout().AsDuration()
	leave, err := x.awaitSeat(ctx, container, timeout)
	if err != nil {
		return nil, err
	}
	c, err := x.launch(ctx, leave, r.GetContainer(), r.GetCmd(), wanted{stdout: true, stderr: true, brief: true}, false)
	if err != nil {
		return nil, err
	}
	out := c.collect(x.config.OutputLimit)
	limited, cancel := withTimeout(ctx, timeout)
	defer cancel()
	code, err := c.wait(limited)
	if err != nil {
		out.finish(time.Now())
		c.release(ctx)
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
	out.fit(replyLimit)
	cut := out.stdout.truncated || out.stderr.truncated
	if cut {
		x.log.WarnContext(ctx, "command wrote more than ExecSync returns, the rest was thrown away", telemetry.ContainerID, container,
			"command", r.GetCmd()[0], "stdout_bytes", len(out.stdout.data), "stderr_bytes", len(out.stderr.data), "limit", x.config.OutputLimit)
	}
	return &streamerv1.ExecSyncResponse{Stdout: out.stdout.data, Stderr: out.stderr.data, ExitCode: int32(code), Truncated: cut}, nil
}

// awaitSeat waits for the container to have fewer commands, at most timeout.
func (x *Execs) awaitSeat(ctx context.Context, container string, timeout time.Duration) (leave func(), err error) {
	limited, cancel := withTimeout(ctx, timeout)
	defer cancel()
	return x.syncs.wait(limited, container)
}

func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

func timedOut(ctx context.Context, r *streamerv1.ExecSyncRequest) error {
	if cause := context.Cause(ctx); errors.Is(ctx.Err(), context.Canceled) {
		if errors.Is(cause, context.Canceled) {
			cause = fmt.Errorf("its caller left: %w", cause)
		}
		return fmt.Errorf("command in container %q was killed: %w", r.GetContainer().GetId(), cause)
	}
	limit := "the call's deadline"
	if d := r.GetTimeout().AsDuration(); d > 0 {
		limit = d.String()
	}
	return fmt.Errorf("command in container %q was killed after %s: %w", r.GetContainer().GetId(), limit, context.DeadlineExceeded)
}

// brief is how long a command may run before its output is read meanwhile. It
// may write 64 KiB until then.
const brief = 20 * time.Millisecond

// collected is the output of a command.
type collected struct {
	stdout, stderr *capped
	pair           *pair       // nil if there is none
	later          *time.Timer // which begins to follow; nil without a pair
	begun          sync.Once
	outputs        [2]*output // once followed
	copies         sync.WaitGroup
}

// collect reads both streams until they end or finish is called, which the
// caller must do before it looks at the data or releases the command.
func (c *command) collect(limit int) *collected {
	o := &collected{stdout: &capped{limit: limit}, stderr: &capped{limit: limit}, pair: c.pair}
	if c.pair == nil {
		o.begun.Do(func() { o.follow([2]*os.File{c.pipes.stdout, c.pipes.stderr}) })
	} else {
		o.later = time.AfterFunc(brief, func() { o.begun.Do(func() { o.follow(o.pair.poll()) }) })
	}
	return o
}

// follow reads the streams as they are written.
func (o *collected) follow(files [2]*os.File) {
	for i, to := range []*capped{o.stdout, o.stderr} {
		o.outputs[i] = &output{file: files[i]}
		o.copies.Go(func() { o.outputs[i].copyTo(to) })
	}
}

// finish waits for the streams' ends until limit, and tells whether they came.
func (o *collected) finish(limit time.Time) bool {
	ended := false
	o.begun.Do(func() {
		o.later.Stop()
		if ended = o.pair.drain([2]*capped{o.stdout, o.stderr}); !ended {
			o.follow(o.pair.poll())
		}
	})
	if ended {
		return true
	}
	for _, output := range o.outputs {
		output.by(limit)
	}
	o.copies.Wait()
	return time.Now().Before(limit)
}

// fit cuts the longer output, or both, so that they are limit together. Call
// it after finish.
func (o *collected) fit(limit int) {
	longer, shorter := o.stdout, o.stderr
	if len(longer.data) < len(shorter.data) {
		longer, shorter = shorter, longer
	}
	shorter.cut(limit / 2)
	longer.cut(limit - len(shorter.data))
}
