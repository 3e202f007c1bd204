package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/tests/harness"
)

// attackMembers puts a group under load, kills, and counts the damage.
func attackMembers(ctx context.Context, group *harness.Group, opts *options) (*damage, error) {
	harness.Progress("seed %d", opts.seed)
	before, err := group.Residue(ctx)
	if err != nil {
		return nil, err
	}
	watched, err := startWatched(ctx, group, opts.name)
	if err != nil {
		return nil, err
	}
	d := &damage{}
	churn := startChurn(ctx, group, opts.name)
	killed := killAll(ctx, group, opts, d)
	churn.finish(d)
	watched.judge(ctx, d)
	if killed != nil {
		return d, killed
	}
	if err := group.Purge(ctx); err != nil {
		return d, err
	}
	if err := watched.removeDirs(); err != nil {
		return d, err
	}
	return d, countLeft(ctx, group, before, d)
}

// killAll does the kills, each at a random instant of a group that serves.
func killAll(ctx context.Context, group *harness.Group, opts *options, d *damage) error {
	random := rand.New(rand.NewPCG(opts.seed, 0))
	for n := range opts.kills {
		pause := time.Duration(random.Int64N(int64(1500 * time.Millisecond)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		begun := time.Now()
		refused, err := killOnce(ctx, group, opts.name)
		if err != nil {
			return fmt.Errorf("kill %d: %w", n+1, err)
		}
		d.kills++
		d.addRefused(refused)
		harness.Progress("kill %d of %d, back after %d ms", n+1, opts.kills, time.Since(begun).Milliseconds())
	}
	return nil
}

// killOnce kills, waits until the group serves again, and returns the errors
// of clients that connected meanwhile. Without a launcher nobody listens, so
// nobody connects.
func killOnce(ctx context.Context, group *harness.Group, name string) ([]error, error) {
	if name == "launcher" {
		return nil, killAndWait(ctx, group, name)
	}
	caller := harness.StartCaller(ctx, group.CRI)
	err := killAndWait(ctx, group, name)
	_, _, refused := caller.Stop()
	return refused, err
}

// killAndWait kills and waits until the group serves again.
func killAndWait(ctx context.Context, group *harness.Group, name string) error {
	switch name {
	case "launcher":
		if err := group.KillLauncher(ctx); err != nil {
			return err
		}
		return group.Start(ctx)
	case "all":
		if err := killEverything(ctx, group); err != nil {
			return err
		}
		return group.Start(ctx)
	}
	old, err := killMembers(ctx, group, name)
	if err != nil {
		return err
	}
	return group.AwaitGeneration(ctx, old)
}

func killMembers(ctx context.Context, group *harness.Group, name string) (int64, error) {
	switch name {
	case "log":
		return group.Kill(ctx, "streamer")
	case "group":
	default:
		return group.Kill(ctx, name)
	}
	status, err := group.Status(ctx)
	if err != nil {
		return 0, err
	}
	var failed []error
	for _, m := range status.GetMembers() {
		if err := unix.Kill(int(m.GetPid()), unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			failed = append(failed, err) // one that is gone follows another's kill
		}
	}
	return status.GetGeneration(), errors.Join(failed...)
}

// countLeft counts what is there that was not there before the load.
func countLeft(ctx context.Context, group *harness.Group, before harness.Residue, d *damage) error {
	err := harness.WaitFor(ctx, 30*time.Second, "the group to tidy up", func(ctx context.Context) error {
		return group.AwaitNoResidue(ctx, before)
	})
	if err == nil {
		return nil
	}
	now, err := group.Residue(ctx)
	if err != nil {
		return err
	}
	for _, item := range now.Since(before) {
		d.left++
		d.note("left behind: %s", item)
	}
	return nil
}
