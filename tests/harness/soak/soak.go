// Package soak uses a group's streamer as a busy node does for days, with
// every way in which a command, an attachment or a forwarded connection can
// end, and sees that nothing of it is left.
package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
)

// Amount says how much is to be done.
type Amount struct {
	Execs, Attaches, Forwards int
	AtOnce                    int
	Progress                  func(format string, args ...any)
}

// warmUp is done before anything is measured, of each kind: what is made once
// and kept is no leak.
const warmUp = 40

// Run does the work and returns what the streamer held before and after. An
// error says what failed, or is more than before.
func Run(ctx context.Context, group *harness.Group, amount Amount) (before, after Footprint, err error) {
	site, err := open(ctx, group.CRI)
	if err != nil {
		return before, after, err
	}
	defer func() { err = errors.Join(err, site.pod.Remove(context.WithoutCancel(ctx))) }()
	warm := amount
	warm.Execs, warm.Attaches, warm.Forwards = warmUp, warmUp, warmUp
	if err := site.work(ctx, warm); err != nil {
		return before, after, err
	}
	if before, err = settled(ctx, group); err != nil {
		return before, after, err
	}
	amount.Progress("before: %v", before)
	if err := site.work(ctx, amount); err != nil {
		return before, after, err
	}
	err = harness.WaitFor(ctx, settleLimit, "the streamer to be as before", func(ctx context.Context) error {
		if after, err = Measure(ctx, group); err != nil {
			return err
		}
		return after.Back(before)
	})
	amount.Progress("after:  %v", after)
	return before, after, err
}

// settled measures when no session is open any more.
func settled(ctx context.Context, group *harness.Group) (f Footprint, err error) {
	err = harness.WaitFor(ctx, settleLimit, "sessions to end", func(ctx context.Context) error {
		if f, err = Measure(ctx, group); err == nil && f.Sessions > 0 {
			err = fmt.Errorf("%d are open", f.Sessions)
		}
		return err
	})
	return f, err
}

// sessions asks for how many are open.
func sessions(ctx context.Context, group *harness.Group) (int, error) {
	out, err := group.TrivetCommand(ctx, "status", "--sessions", "--json").Output()
	if err != nil {
		return 0, fmt.Errorf("ask for sessions: %w", err)
	}
	var all struct {
		Sessions []json.RawMessage `json:"sessions"`
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return 0, fmt.Errorf("read sessions: %w", err)
	}
	return len(all.Sessions), nil
}

// site is the pod that all happens in.
type site struct {
	pod *harness.Pod
	// commands sleeps, echo repeats its input, and server what comes to port.
	commands, echo, server *harness.Container
}

// port is where the server listens; nobody does on the next.
const port = 8080

func open(ctx context.Context, cri *harness.CRI) (*site, error) {
	pod, err := cri.RunPod(ctx, "soak-"+harness.Unique()[:8])
	if err != nil {
		return nil, err
	}
	s := &site{pod: pod}
	for _, one := range []struct {
		into   **harness.Container
		name   string
		script string
		edits  []harness.ContainerEdit
	}{
		{&s.commands, "commands", "trap 'exit 0' TERM; echo up; sleep 1000000 & wait", nil},
		{&s.echo, "echo", "trap 'exit 0' TERM; echo up; while read line; do echo $line; done", []harness.ContainerEdit{
			func(c *runtimeapi.ContainerConfig) { c.Stdin = true },
		}},
		{&s.server, "server", fmt.Sprintf("trap 'exit 0' TERM; nc -ll -p %d -e cat & echo up; wait", port), nil},
	} {
		container, err := pod.Run(ctx, one.name, append(one.edits, harness.Shell(one.script))...)
		if err == nil {
			err = container.AwaitLog(ctx, "up")
		}
		if err != nil {
			return nil, errors.Join(err, pod.Remove(context.WithoutCancel(ctx)))
		}
		*one.into = container
	}
	return s, nil
}

// work does everything, AtOnce at a time.
func (s *site) work(ctx context.Context, amount Amount) error {
	for _, kind := range []struct {
		name string
		n    int
		do   func(context.Context, int) error
	}{
		{"execs", amount.Execs, s.exec},
		{"attaches", amount.Attaches, s.attach},
		{"forwards", amount.Forwards, s.forward},
	} {
		var done atomic.Int64
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(amount.AtOnce)
		for i := range kind.n {
			if ctx.Err() != nil {
				break
			}
			group.Go(func() error {
				if err := kind.do(ctx, i); err != nil {
					return fmt.Errorf("%s, number %d: %w", kind.name, i, err)
				}
				if n := done.Add(1); n%1000 == 0 {
					amount.Progress("%d of %d %s", n, kind.n, kind.name)
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}
