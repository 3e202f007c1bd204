package main

import (
	"context"
	"fmt"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/flow"
	"github.com/trivet-cri/trivet/tests/harness/stream"
)

const (
	// perRestart is what each session must move after each restart, in bytes.
	perRestart = 16 << 10
	// sessionPatience is how long a session may take for that, or to end.
	sessionPatience = time.Minute
)

// counts are how many sessions of each kind there are.
type counts struct{ exec, forward, attach int }

// sessionLoad are sessions that move checked data.
type sessionLoad struct{ flows []*flow.Flow }

// attackSessions restarts the group under sessions, by killing runtime and
// netsync in turn, and then kills streamer.
func attackSessions(ctx context.Context, group *harness.Group, opts *options) (*damage, error) {
	before, err := group.Residue(ctx)
	if err != nil {
		return nil, err
	}
	d := &damage{}
	pod, err := group.RunPod(ctx, "sessions")
	if err != nil {
		return nil, err
	}
	echo, err := pod.Run(ctx, "echo", flow.Echo("echo"))
	if err != nil {
		return nil, err
	}
	if err := echo.AwaitLog(ctx, "echo is up"); err != nil {
		return nil, err
	}
	load, err := startSessions(ctx, echo, counts{20, 20, 10})
	if err != nil {
		return d, err
	}
	for n := range opts.kills {
		name := []string{"runtime", "netsync"}[n%2]
		begun := time.Now()
		refused, err := killOnce(ctx, group, name)
		if err != nil {
			return d, fmt.Errorf("kill %d: %w", n+1, err)
		}
		d.kills++
		d.addRefused(refused)
		load.awaitMoved(ctx, d)
		harness.Progress("kill %d of %d, of %s, all sessions go on after %d ms", n+1, opts.kills, name, time.Since(begun).Milliseconds())
	}
	load.finish(ctx, d)
	if err := attackStreamer(ctx, group, echo, d); err != nil {
		return d, err
	}
	if err := group.Purge(ctx); err != nil {
		return d, err
	}
	if err := pod.RemoveDirs(); err != nil {
		return d, err
	}
	return d, countLeft(ctx, group, before, d)
}

// startSessions opens them, over both transports. echo is a container of flow.Echo.
func startSessions(ctx context.Context, echo *harness.Container, want counts) (*sessionLoad, error) {
	load := &sessionLoad{}
	add := func(kind string, n int, open func(name string, transport stream.Transport) (*flow.Flow, error)) error {
		for i := range n {
			transport := []stream.Transport{stream.SPDY, stream.WebSocket}[i%2]
			f, err := open(fmt.Sprintf("%s %d over %s", kind, i, transport), transport)
			if err != nil {
				return fmt.Errorf("open %s %d: %w", kind, i, err)
			}
			// nc, which answers in the pod, lets two connections wait and no more.
			if err := f.AwaitMoved(ctx, 1); err != nil {
				return err
			}
			load.flows = append(load.flows, f)
		}
		return nil
	}
	if err := add("exec", want.exec, func(name string, transport stream.Transport) (*flow.Flow, error) {
		return flow.Exec(ctx, name, transport, echo)
	}); err != nil {
		return nil, err
	}
	if err := add("port-forward", want.forward, func(name string, transport stream.Transport) (*flow.Flow, error) {
		return flow.Forward(ctx, name, transport, echo.Pod)
	}); err != nil {
		return nil, err
	}
	return load, add("attach", want.attach, func(name string, transport stream.Transport) (*flow.Flow, error) {
		container, err := echo.Pod.Run(ctx, "cat-"+harness.Unique()[:8], func(c *runtimeapi.ContainerConfig) {
			c.Command, c.Stdin, c.StdinOnce = []string{"cat"}, true, true
		})
		if err != nil {
			return nil, err
		}
		return flow.Attach(ctx, name, transport, container)
	})
}

// awaitMoved waits until each session that lives has moved something.
func (l *sessionLoad) awaitMoved(ctx context.Context, d *damage) {
	ctx, cancel := context.WithTimeout(ctx, sessionPatience)
	defer cancel()
	for _, f := range l.flows {
		if f.Ended() {
			continue // finish tells why
		}
		if err := f.AwaitMoved(ctx, perRestart); err != nil {
			d.note("%v", err)
		}
	}
}

// finish ends all sessions in order and counts those that have dropped.
func (l *sessionLoad) finish(ctx context.Context, d *damage) {
	ctx, cancel := context.WithTimeout(ctx, sessionPatience)
	defer cancel()
	moved := int64(0)
	for _, f := range l.flows {
		if err := f.Finish(ctx); err != nil {
			d.sessions++
			d.note("session dropped: %v", err)
		}
		moved += f.Moved()
	}
	harness.Progress("%d sessions have moved %d MiB", len(l.flows), moved>>20)
}

// attackStreamer kills streamer: each session must end with an error, and
// what it ran in containers must not stay.
func attackStreamer(ctx context.Context, group *harness.Group, echo *harness.Container, d *damage) error {
	load, err := startSessions(ctx, echo, counts{4, 4, 2})
	if err != nil {
		return err
	}
	load.awaitMoved(ctx, d)
	if err := killAndWait(ctx, group, "streamer"); err != nil {
		return err
	}
	d.kills++
	ending, cancel := context.WithTimeout(ctx, sessionPatience)
	defer cancel()
	for _, f := range load.flows {
		if err := f.Err(ending); err == nil || ending.Err() != nil {
			d.sessions++
			d.note("%s after the kill of streamer: %v", f.Name, err)
		}
	}
	const cats = "for p in /proc/[0-9]*; do read -r name < $p/comm && [ $name = cat ] && echo $p; done; true"
	err = harness.WaitFor(ctx, sessionPatience, "commands to be killed", func(ctx context.Context) error {
		left, err := echo.Output(ctx, cats)
		if err == nil && left != "" {
			err = fmt.Errorf("there are %q", left)
		}
		return err
	})
	if err != nil {
		d.left++
		d.note("left behind: %v", err)
	}
	return nil
}
