package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/jaeger"
)

// kill kills a member under the pod: its containers do not notice, clients
// that connect meanwhile wait, and the log has every line.
func (d *demo) kill(ctx context.Context) error {
	before, err := d.clock.PID(ctx)
	if err != nil {
		return err
	}
	caller := harness.StartCaller(ctx, d.group.CRI)
	begun := time.Now()
	old, err := d.group.Kill(ctx, d.member)
	if err != nil {
		return err
	}
	d.say("trivet-%s of generation %d is dead", d.member, old)
	if err := d.group.AwaitGeneration(ctx, old); err != nil {
		return err
	}
	back := time.Since(begun)
	calls, slowest, refused := caller.Stop()
	if len(refused) > 0 {
		return fmt.Errorf("%d of %d calls failed: %w", len(refused), calls, errors.Join(refused...))
	}
	d.say("the group is back after %d ms; of %d clients that connected meanwhile none was refused, the slowest waited %d ms",
		back.Milliseconds(), calls, slowest.Milliseconds())
	if err := d.status(ctx); err != nil {
		return err
	}
	after, err := d.clock.PID(ctx)
	if err != nil {
		return err
	}
	if after != before {
		return fmt.Errorf("the container's process was %d and is %d", before, after)
	}
	loss, err := d.clock.Finish(ctx)
	if err != nil {
		return err
	}
	if err := loss.Complete(); err != nil {
		return err
	}
	d.say("process %d of the container lived on; its log has all of its %d lines, each once", before, loss.Lines)
	return d.restartClock(ctx)
}

// restartClock runs a new clock in the pod, for it was stopped to count its lines.
func (d *demo) restartClock(ctx context.Context) error {
	if err := d.clock.Remove(ctx); err != nil {
		return err
	}
	clock, err := d.pod.RunCounter(ctx, "clock", 1, 100*time.Millisecond)
	if err != nil {
		return err
	}
	d.clock = clock
	return d.crictl(ctx, "ps")
}

// showTrace prints the trace of the pod's start as a tree.
func (d *demo) showTrace(ctx context.Context) error {
	client := jaeger.Client{URL: d.lab.JaegerQuery}
	var trace jaeger.Trace
	err := harness.WaitFor(ctx, 30*time.Second, "the trace", func(ctx context.Context) (err error) {
		if trace, err = client.Get(ctx, d.trace); err != nil {
			return err
		}
		for _, service := range []string{harness.TraceService, "trivet-runtime", "trivet-netsync", "trivet-streamer", "containerd"} {
			if trace.Services()[service] == 0 {
				return fmt.Errorf("no span of %s yet", service)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var tree strings.Builder
	if err := trace.WriteTree(&tree); err != nil {
		return err
	}
	d.say("%s", tree.String())
	return nil
}
