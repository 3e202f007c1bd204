package exec

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/streamer/engine"
)

// othersPause is between two looks whether other streamers, which drain, have
// died.
const othersPause = time.Second

// Pauses between two attempts to release what is left; they double.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// wake makes the janitor look soon.
func (x *Execs) wake() {
	select {
	case x.poke <- struct{}{}:
	default:
	}
}

// janitor sweeps at start, whenever something was left, and now and then
// while there are other streamers, until ctx ends.
func (x *Execs) janitor(ctx context.Context) {
	look := time.NewTimer(0)
	defer look.Stop()
	pause := firstPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-x.poke:
		case <-look.C:
		}
		others, err := x.sweep(ctx)
		if others {
			look.Reset(othersPause)
		}
		if err == nil || ctx.Err() != nil {
			pause = firstPause
			continue
		}
		x.log.WarnContext(ctx, "commands are left over, will try again", "error", err, "pause", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
			pause = min(2*pause, lastPause)
			x.wake()
		}
	}
}

// sweep releases the commands of streamers that have died, and those of this
// one whose release has failed. others tells whether other streamers live.
func (x *Execs) sweep(ctx context.Context) (others bool, err error) {
	entries, err := os.ReadDir(x.root)
	if err != nil {
		return false, fmt.Errorf("read directory of exec FIFOs: %w", err)
	}
	var failed []error
	for _, entry := range entries {
		path := filepath.Join(x.root, entry.Name())
		if path == x.own.path {
			continue
		}
		dead, err := takeInstance(path)
		others = others || err == nil && dead == nil
		if err == nil && dead != nil {
			err = errors.Join(x.empty(ctx, dead), dead.close())
		}
		failed = append(failed, err)
	}
	return others, errors.Join(append(failed, x.retry(ctx))...)
}

// empty releases everything of a dead streamer.
func (x *Execs) empty(ctx context.Context, dead *instance) error {
	processes, err := dead.processes()
	if err != nil {
		return err
	}
	var failed []error
	for _, p := range processes {
		limited, cancel := context.WithTimeout(ctx, releaseLimit)
		err := x.end(limited, p, 0, false)
		cancel()
		if err == nil {
			x.log.InfoContext(ctx, "removed a dead streamer's command", telemetry.ContainerID, p.Container, "exec", p.ID)
			err = removePipes(dead.dir(p))
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// leftover is a process that could not be released.
type leftover struct {
	pid    uint32
	exited bool // children that it has left behind are none of our business
}

// leave gives a process of this streamer to the janitor.
func (x *Execs) leave(p engine.Process, l leftover) {
	x.mu.Lock()
	x.left[p] = l
	x.mu.Unlock()
	x.wake()
}

// retry tries again to release what this streamer has left.
func (x *Execs) retry(ctx context.Context) error {
	x.mu.Lock()
	left := maps.Clone(x.left)
	x.mu.Unlock()
	var failed []error
	for p, l := range left {
		limited, cancel := context.WithTimeout(ctx, releaseLimit)
		err := x.end(limited, p, l.pid, l.exited)
		cancel()
		if err == nil {
			err = removePipes(x.own.dir(p))
		}
		if err == nil {
			x.mu.Lock()
			delete(x.left, p)
			x.mu.Unlock()
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}
