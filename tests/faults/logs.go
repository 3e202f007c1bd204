package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
)

// logTargets are who is killed for the logs, in turn.
var logTargets = []string{"runtime", "streamer", "netsync", "launcher", "group", "all"}

// The ways of rotation.
const (
	noRotation  = "none"
	kubeletsOwn = "kubelet" // rename, ReopenContainerLog, rename back if that fails
	pumpsOwn    = "own"     // log_max_size
)

// editFor configures the rotation. No log is removed: all are judged.
func editFor(rotation string) func(*config.Config) {
	return func(c *config.Config) {
		if rotation == pumpsOwn {
			c.Streamer.LogMaxSize, c.Streamer.LogMaxFiles = 4<<20, 1<<20
		}
	}
}

// slack is what a writer's pause may have beyond the longest restart: its
// clock has hundredths, and the machine is busy.
const slack = 500 * time.Millisecond

// attackLogs kills each part in turn while containers write numbered lines.
func attackLogs(ctx context.Context, group *harness.Group, opts *options) (*damage, error) {
	harness.Progress("seed %d, rotation %s", opts.seed, opts.rotation)
	pod, err := group.RunPod(ctx, "logs")
	if err != nil {
		return nil, err
	}
	var writers []*harness.Numbered
	var containers []*harness.Container
	for _, kind := range harness.NumberedKinds {
		writer, err := pod.RunNumbered(ctx, kind)
		if err != nil {
			return nil, err
		}
		writers, containers = append(writers, writer), append(containers, writer.Container)
	}
	var rotator *harness.Rotator
	if opts.rotation == kubeletsOwn {
		rotator = harness.StartRotator(ctx, group.CRI, containers...)
	}
	d := &damage{}
	longest, err := killInTurn(ctx, group, opts, d)
	if rotator != nil {
		rotated, undone, rotateErr := rotator.Stop()
		harness.Progress("%d rotations, %d taken back", rotated, undone)
		err = errors.Join(err, rotateErr)
	}
	if err != nil {
		return d, err
	}
	for _, writer := range writers {
		d.judgeNumbered(ctx, writer, longest)
	}
	fmt.Printf("logs: %d lines in %d files, the longest restart took %d ms, the longest pause of a writer %d ms\n",
		d.log.Lines, d.files, longest.Milliseconds(), d.stall.Milliseconds())
	if d.any() {
		return d, nil // for whoever looks at the logs
	}
	return d, pod.Remove(ctx)
}

// killInTurn tells how long the longest restart took.
func killInTurn(ctx context.Context, group *harness.Group, opts *options, d *damage) (longest time.Duration, err error) {
	random := rand.New(rand.NewPCG(opts.seed, 0))
	for n := range opts.kills {
		select {
		case <-ctx.Done():
			return longest, ctx.Err()
		case <-time.After(time.Duration(random.Int64N(int64(1500 * time.Millisecond)))):
		}
		target := logTargets[n%len(logTargets)]
		begun := time.Now()
		if err := killAndWait(ctx, group, target); err != nil {
			return longest, fmt.Errorf("kill %d, of %s: %w", n+1, target, err)
		}
		took := time.Since(begun)
		longest = max(longest, took)
		d.kills++
		harness.Progress("kill %d of %d, of %s, back after %d ms", n+1, opts.kills, target, took.Milliseconds())
	}
	return longest, nil
}

// killEverything kills the launcher and its members at the same instant.
func killEverything(ctx context.Context, group *harness.Group) error {
	status, err := group.Status(ctx)
	if err != nil {
		return err
	}
	failed := []error{unix.Kill(group.Process().PID(), unix.SIGKILL)}
	for _, m := range status.GetMembers() {
		if err := unix.Kill(int(m.GetPid()), unix.SIGKILL); !errors.Is(err, unix.ESRCH) {
			failed = append(failed, err) // one that is gone followed the launcher
		}
	}
	select {
	case <-group.Process().Done():
	case <-ctx.Done():
		failed = append(failed, ctx.Err())
	}
	return errors.Join(failed...)
}
