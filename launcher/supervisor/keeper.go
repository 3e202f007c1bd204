package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// startPoll is the pause between questions to a member that starts: it is
// on the path of every client that waits for the group.
const startPoll = 10 * time.Millisecond

// dumpLimit is how long a member that hangs may take to write its stacks.
const dumpLimit = 3 * time.Second

// errHung marks the failure of a member that runs and does not answer.
var errHung = errors.New("no answer")

// keeper keeps one member of one generation running.
type keeper struct {
	Member
	limits  *Limits
	machine Machine
	board   *board
	elders  *elders
	log     *slog.Logger
}

// run returns nil when ctx has ended and the process is stopped, or the
// failure of a critical member, whose process is gone then too. A member that
// is not critical is started again and again. settled is called once when the
// member serves, or when those that depend on it need not wait for it.
func (k *keeper) run(ctx context.Context, settled func()) error {
	pauses := pauses{Backoff: k.limits.Backoff}
	for {
		served, err := k.once(ctx, settled)
		if ctx.Err() != nil {
			return nil
		}
		err = fmt.Errorf("%s: %w", k.Name, err)
		if k.Critical {
			return err
		}
		settled()
		pause := pauses.next(served)
		k.board.memberRestart(err.Error())
		k.log.Error("member failed, restarting it alone", "member", k.Name, "reason", err.Error(), "pause", pause.String())
		if !sleep(ctx, pause) {
			k.board.state(k.Name, Stopped)
			return nil
		}
	}
}

// once runs one process of the member, from its start to its end, and says
// how long it served and why that ended.
func (k *keeper) once(ctx context.Context, settled func()) (served time.Duration, err error) {
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	proc, err := k.machine.Start(k.Command)
	if err != nil {
		k.board.ended(k.Name, BackingOff, err.Error())
		return 0, err
	}
	k.board.started(k.Name, proc.PID())
	// It gets ready while its predecessor, if there is one, still works.
	k.elders.relieve(k.Name)
	served, err = k.attend(ctx, proc, settled)
	return served, k.end(ctx, proc, err)
}

// attend follows a process until it ends, does not answer, or ctx ends.
func (k *keeper) attend(ctx context.Context, proc Process, settled func()) (served time.Duration, err error) {
	alive, ended := context.WithCancelCause(ctx)
	var group errgroup.Group
	group.Go(func() error {
		select {
		case <-proc.Done():
			ended(errors.New(proc.Exit().String()))
		case <-alive.Done():
		}
		return nil
	})
	defer func() { _ = group.Wait() }() // its function returns nil
	defer ended(nil)

	begun := time.Now()
	probe, err := k.machine.Probe(k.HealthSocket)
	if err != nil {
		return 0, err
	}
	defer func() { _ = probe.Close() }() // nothing depends on it any more
	if err := k.awaitServing(alive, probe); err != nil {
		return 0, err
	}
	ready := time.Now()
	k.board.state(k.Name, Serving)
	k.log.Info("member serves", "member", k.Name, "pid", proc.PID(), "after", ready.Sub(begun).String())
	settled()
	err = k.watch(alive, probe)
	return time.Since(ready), err
}

// awaitServing polls until the process serves. ctx ends with the process.
func (k *keeper) awaitServing(ctx context.Context, probe Probe) error {
	limit := time.NewTimer(k.limits.Start)
	defer limit.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	answer := "no answer"
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-limit.C:
			return fmt.Errorf("does not serve %s after its start: %s", k.limits.Start, answer)
		case <-pause.C:
		}
		serving, err := k.check(ctx, probe)
		if serving {
			return nil
		}
		answer = "its health service says NOT_SERVING"
		if err != nil {
			answer = err.Error()
		}
		pause.Reset(startPoll)
	}
}

// watch checks the process until it hangs or ctx, which ends with the
// process, ends.
func (k *keeper) watch(ctx context.Context, probe Probe) error {
	pause := time.NewTimer(k.limits.Interval)
	defer pause.Stop()
	missed, state := 0, Serving
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-pause.C:
		}
		serving, err := k.check(ctx, probe)
		pause.Reset(k.limits.Interval)
		if err != nil {
			if missed++; missed >= k.limits.Threshold {
				return fmt.Errorf("%w to %d health checks in a row: %w", errHung, missed, err)
			}
			continue
		}
		missed = 0
		// It answers, so it lives: what it waits for, a new process would
		// wait for as well.
		next := NotServing
		if serving {
			next = Serving
		}
		if next != state {
			state = next
			k.board.state(k.Name, state)
			k.log.Warn("member's health changed", "member", k.Name, "state", string(state))
		}
	}
}

func (k *keeper) check(ctx context.Context, probe Probe) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, k.limits.Timeout)
	defer cancel()
	return probe.Check(ctx)
}

// end makes sure that the process has ended, notes why, and returns the
// reason.
func (k *keeper) end(ctx context.Context, proc Process, reason error) error {
	select {
	case <-proc.Done():
		return k.ended(ctx, errors.New(proc.Exit().String()))
	default:
	}
	if errors.Is(reason, errHung) {
		// SIGQUIT makes a Go program write all its stacks to the log: the
		// only witness of why it hung.
		proc.Stop(unix.SIGQUIT, dumpLimit)
		return k.ended(ctx, reason)
	}
	if ctx.Err() != nil && k.elders.retire(k.Member, *k.limits, proc) {
		k.log.Info("member works on until its successor has started", "member", k.Name, "pid", proc.PID())
		return k.ended(ctx, errors.New("works on until its successor has started"))
	}
	killed := proc.Stop(unix.SIGTERM, k.limits.Stop)
	if killed {
		k.log.Warn("member had to be killed", "member", k.Name, "pid", proc.PID(), "stop_timeout", k.limits.Stop.String())
	}
	switch {
	case ctx.Err() == nil: // it did not get ready
		return k.ended(ctx, reason)
	case killed:
		return k.ended(ctx, fmt.Errorf("killed, it still ran %s after it was asked to stop", k.limits.Stop))
	default:
		k.log.Info("member stopped", "member", k.Name, "pid", proc.PID(), "exit", proc.Exit().String())
		return k.ended(ctx, errors.New("asked to stop, "+proc.Exit().String()))
	}
}

// ended shows why the process has ended.
func (k *keeper) ended(ctx context.Context, reason error) error {
	state := BackingOff
	if ctx.Err() != nil {
		state = Stopped
	}
	k.board.ended(k.Name, state, reason.Error())
	return reason
}
