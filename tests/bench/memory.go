package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/stream"
)

const (
	// perPod is how many idle containers a pod has.
	perPod = 50
	// stuckFor is how long clients do not read.
	stuckFor = 10 * time.Second
	// The goals, in MiB of resident memory.
	idleGoal, stuckGoal = 60, 100
)

// used is one figure of the suite, in MiB.
type used struct {
	Suite  string  `json:"suite"`
	Figure string  `json:"figure"`
	RSS    float64 `json:"rss_mib"`
	PSS    float64 `json:"pss_mib"`
	Goal   float64 `json:"goal_mib"`
	// Threads is how many the process had at most.
	Threads int `json:"threads"`
}

// memory runs the suite: Trivet alone, with real containers.
func memory(ctx context.Context, opts *options) error {
	return harness.OnStage(ctx, "bench", harness.AsInProduction, func(stage *harness.Stage, _ string) error {
		idle, err := measureIdle(ctx, stage.Group, opts.containers)
		if err != nil {
			return err
		}
		stuck, err := measureStuck(ctx, stage.Group)
		if err != nil {
			return err
		}
		return reportUsed([]used{idle, stuck}, opts.json)
	})
}

// measureIdle fills pods with containers that have written a line and wait.
func measureIdle(ctx context.Context, group *harness.Group, containers int) (used, error) {
	workers, limited := errgroup.WithContext(ctx)
	workers.SetLimit(4)
	for first := 0; first < containers; first += perPod {
		pod, err := group.RunPod(ctx, fmt.Sprintf("idle-%d", first))
		if err != nil {
			return used{}, err
		}
		for n := range min(perPod, containers-first) {
			workers.Go(func() error {
				container, err := pod.Run(limited, fmt.Sprintf("idle-%d", n), harness.Shell("echo up; exec sleep 100000"))
				if err != nil {
					return err
				}
				return container.AwaitLog(limited, "up")
			})
		}
		harness.Progress("%d containers", first)
	}
	if err := workers.Wait(); err != nil {
		return used{}, err
	}
	u := used{Suite: "memory", Figure: fmt.Sprintf("%d idle containers", containers), Goal: idleGoal}
	return u, u.measure(ctx, group)
}

// measureStuck attaches clients over both transports that read nothing to a
// container that writes flat out, again and again, for a client that is too far
// behind is cut off, and takes the highest of what it sees.
func measureStuck(ctx context.Context, group *harness.Group) (used, error) {
	u := used{Suite: "memory", Figure: "clients that stop reading", Goal: stuckGoal}
	pod, err := group.RunPod(ctx, "stuck")
	if err != nil {
		return u, err
	}
	container, err := pod.Run(ctx, "writer", harness.Shell("exec yes "+strings.Repeat("x", 99)))
	if err != nil {
		return u, err
	}
	stop := time.Now().Add(stuckFor)
	for time.Now().Before(stop) {
		if err := attachStuck(ctx, group, container, &u); err != nil {
			return u, err
		}
		// The log grows by gigabytes; nobody wants to read it.
		if err := os.Truncate(container.LogPath, 0); err != nil {
			return u, fmt.Errorf("empty log: %w", err)
		}
	}
	return u, container.Stop(ctx, 0)
}

func attachStuck(ctx context.Context, group *harness.Group, container *harness.Container, u *used) error {
	clients, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var sessions errgroup.Group
	for _, transport := range []stream.Transport{stream.SPDY, stream.WebSocket} {
		url, err := container.AttachURL(ctx, false, false)
		if err != nil {
			return err
		}
		session := stream.Session{Transport: transport, URL: url, Stdout: stuck{clients}, Stderr: stuck{clients}}
		sessions.Go(func() error {
			_, _ = session.Run(clients) // it is cut off, or its context ends
			return nil
		})
	}
	for clients.Err() == nil {
		if err := u.measure(ctx, group); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return sessions.Wait()
}

// stuck takes nothing.
type stuck struct{ ctx context.Context }

// Write waits for the end.
func (s stuck) Write([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// measure raises u to what streamer has now.
func (u *used) measure(ctx context.Context, group *harness.Group) error {
	member, err := group.Member(ctx, "streamer")
	if err != nil {
		return err
	}
	rollup, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(member.GetPid()), "smaps_rollup"))
	if err != nil {
		return fmt.Errorf("read streamer's memory: %w", err)
	}
	for key, into := range map[string]*float64{"Rss:": &u.RSS, "Pss:": &u.PSS} {
		_, after, _ := strings.Cut(string(rollup), key)
		kib, err := strconv.ParseFloat(strings.Fields(after + " ?")[0], 64)
		if err != nil {
			return fmt.Errorf("read streamer's memory: %w", err)
		}
		*into = max(*into, kib/1024)
	}
	threads, err := os.ReadDir(filepath.Join("/proc", fmt.Sprint(member.GetPid()), "task"))
	if err != nil {
		return fmt.Errorf("count streamer's threads: %w", err)
	}
	u.Threads = max(u.Threads, len(threads))
	return nil
}

func reportUsed(figures []used, file string) error {
	fmt.Printf("\n%-32s %8s %10s %10s %6s\n", "memory of streamer, MiB", "threads", "RSS", "PSS", "goal")
	for _, f := range figures {
		missed := ""
		if f.RSS > f.Goal {
			missed = " missed"
		}
		fmt.Printf("%-32s %8d %10.1f %10.1f %6.0f%s\n", f.Figure, f.Threads, f.RSS, f.PSS, f.Goal, missed)
	}
	fmt.Println()
	return writeAll(figures, file)
}
