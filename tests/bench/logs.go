package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/tests/harness"
)

// block is what a container repeats, in bytes: whole lines of 100.
const block = 8 << 20 / 100 * 100

// logRows are the figures of the suite.
var logRows = []row{
	{Name: "log throughput", Unit: "MiB/s", Goal: 8, More: true},
	{Name: "CPU a GiB logged", Unit: "s", Goal: 0.15},
	{Name: "CPU a GiB logged, daemons", Unit: "s", Goal: 0.15},
}

// logs runs the suite: containers that write as fast as they can.
func (s *sides) logs(ctx context.Context, opts *options) ([]figure, error) {
	var all []figure
	for _, concurrency := range opts.concurrency {
		blocks := max(opts.mib<<20/block/concurrency, 1)
		what := fmt.Sprintf("logs, concurrency %d", concurrency)
		measured, err := s.inTurns(what, opts.rounds, nil, func(s *side, into *samples) error {
			return s.write(ctx, concurrency, blocks, into)
		})
		if err != nil {
			return all, err
		}
		all = append(all, figures("logs", concurrency, logRows, measured)...)
	}
	return all, nil
}

// write has containers write blocks each, and measures.
func (s *side) write(ctx context.Context, containers, blocks int, into *samples) (err error) {
	pod, err := s.run(ctx, "logs-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pod.Remove(context.WithoutCancel(ctx))) }()
	writers := make([]*writer, containers)
	for i := range writers {
		if writers[i], err = startWriter(ctx, pod, fmt.Sprintf("writer-%d", i), blocks); err != nil {
			return err
		}
	}
	begun := time.Now()
	used, err := s.spent(func() error {
		var group errgroup.Group
		for _, w := range writers {
			group.Go(func() error { return w.write(ctx) })
		}
		return group.Wait()
	})
	if err != nil {
		return err
	}
	mib := float64(containers*blocks*block) / (1 << 20)
	into.value("log throughput", mib/time.Since(begun).Seconds())
	into.value("CPU a GiB logged", used.own.Seconds()*1024/mib)
	into.value("CPU a GiB logged, daemons", used.daemons.Seconds()*1024/mib)
	return nil
}

// writer is a container that writes when it is told to.
type writer struct {
	log string
	cue string // the file that it waits for
}

func startWriter(ctx context.Context, pod *harness.Pod, name string, blocks int) (*writer, error) {
	script := fmt.Sprintf(`line=$(printf '%%099d' 0)
yes $line | head -c %d > /dev/shm/%[2]s.block
while [ ! -e /dev/shm/%[2]s.go ]; do sleep 0.005; done
i=0; while [ $i -lt %[3]d ]; do cat /dev/shm/%[2]s.block; i=$((i+1)); done
echo done; rm /dev/shm/%[2]s.*; sleep 1000`, block, name, blocks)
	container, err := pod.Run(ctx, name, harness.Shell(script))
	if err != nil {
		return nil, err
	}
	pid, err := container.PID(ctx)
	if err != nil {
		return nil, err
	}
	shm := filepath.Join("/proc", fmt.Sprint(pid), "root/dev/shm")
	err = harness.Wait(ctx, "the writer to be ready", func(context.Context) error {
		info, err := os.Stat(filepath.Join(shm, name+".block"))
		if err == nil && info.Size() < block {
			err = errors.New("its block is not made yet")
		}
		return err
	})
	return &writer{log: container.LogPath, cue: filepath.Join(shm, name+".go")}, err
}

// write gives the cue and waits until the last line is in the log.
func (w *writer) write(ctx context.Context) error {
	if err := os.WriteFile(w.cue, nil, 0o600); err != nil {
		return fmt.Errorf("give the writer its cue: %w", err)
	}
	file, err := os.Open(w.log)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer func() { _ = file.Close() }()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	last := []byte(" stdout F done\n")
	end := make([]byte, len(last))
	for {
		if info, err := file.Stat(); err == nil && info.Size() > int64(len(end)) {
			if _, err := file.ReadAt(end, info.Size()-int64(len(end))); err == nil && bytes.Equal(end, last) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("last line of log %s: %w", w.log, ctx.Err())
		case <-ticker.C:
		}
	}
}
