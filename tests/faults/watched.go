package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
)

// watched are the containers that run through all kills: some sleep, some
// write numbered lines.
type watched struct {
	pod      *harness.Pod
	sleepers map[string]*harness.Container
	pids     map[string]int
	counters map[string]*harness.Counter
}

// pace is how a counter writes.
type pace struct {
	batch int
	pause time.Duration
}

// paces are those of the counters: slow and steady, or as fast as the shell can.
func paces(name string) map[string]pace {
	if name == "log" {
		return map[string]pace{"slow": {2, 10 * time.Millisecond}, "fast": {40, 20 * time.Millisecond}, "flat-out": {1000, 0}}
	}
	return map[string]pace{"slow": {2, 10 * time.Millisecond}, "fast": {20, 20 * time.Millisecond}}
}

func startWatched(ctx context.Context, group *harness.Group, name string) (*watched, error) {
	pod, err := group.RunPod(ctx, "watched")
	if err != nil {
		return nil, err
	}
	w := &watched{
		pod: pod, sleepers: make(map[string]*harness.Container), pids: make(map[string]int),
		counters: make(map[string]*harness.Counter),
	}
	for n := range 3 {
		name := fmt.Sprintf("sleeper-%d", n)
		container, err := pod.Run(ctx, name)
		if err != nil {
			return nil, err
		}
		if w.pids[name], err = container.PID(ctx); err != nil {
			return nil, err
		}
		w.sleepers[name] = container
	}
	for name, pace := range paces(name) {
		if w.counters[name], err = pod.RunCounter(ctx, name, pace.batch, pace.pause); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// judge looks at all of them at the end.
func (w *watched) judge(ctx context.Context, d *damage) {
	status, err := w.pod.Status(ctx)
	if err != nil || status.GetState() != runtimeapi.PodSandboxState_SANDBOX_READY {
		d.pods++
		d.note("pod watched: state %s, error %v", status.GetState(), err)
	}
	for name, container := range w.sleepers {
		pid, err := container.PID(ctx)
		status, statusErr := container.Status(ctx)
		if err := errors.Join(err, statusErr); err != nil || pid != w.pids[name] || status.GetState() != runtimeapi.ContainerState_CONTAINER_RUNNING {
			d.containers++
			d.note("container %s: process %d was %d, state %s, error %v", name, pid, w.pids[name], status.GetState(), err)
		}
	}
	for name, counter := range w.counters {
		status, err := counter.Status(ctx)
		if err != nil || status.GetState() != runtimeapi.ContainerState_CONTAINER_RUNNING {
			d.containers++
			d.note("container %s: state %s, error %v", name, status.GetState(), err)
		}
		loss, err := counter.Finish(ctx)
		if err != nil {
			d.note("container %s: %v", name, err)
			loss.Lost++
		}
		d.addLog(name, loss)
	}
}

// removeDirs plays the kubelet's part.
func (w *watched) removeDirs() error { return w.pod.RemoveDirs() }
