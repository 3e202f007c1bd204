package shim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/cpuset"
	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// Pins say where shims run.
type Pins struct {
	Config config.Runtime
	Log    *slog.Logger
}

// Keep has the shim of a container that runs stay on the processors that the
// configuration, or its pod's workload, wants it on. What it starts is moved by
// the OCI runtime. A virtual machine is part of its shim, so that only runc's
// are kept. Nothing else depends on it: a failure is only logged.
func (p Pins) Keep(ctx context.Context, id string, handler config.Handler, pod map[string]string) {
	if !spec.IsRunc(handler) || handler.Sandboxer == "shim" {
		return
	}
	list, err := spec.ShimCPUs(p.Config, pod)
	var cpus cpuset.Set
	if err == nil {
		cpus, err = cpuset.Parse(list)
	}
	if err == nil && !cpus.Empty() {
		err = Pin(id, cpus)
	}
	if err != nil {
		p.Log.WarnContext(ctx, "shim runs on all processors", telemetry.ContainerID, id, "error", err)
	}
}

// Pin has the shims of id run on some processors only. That there is none is
// errdefs.ErrNotFound.
func Pin(id string, cpus cpuset.Set) error {
	pinned, err := each(id, func(pid int, id string) error { return pin(pid, id, cpus) })
	if pinned == 0 && err == nil {
		return fmt.Errorf("pin shim of %s: it is not there: %w", id, errdefs.ErrNotFound)
	}
	return err
}

// pinRounds bounds how often threads are looked for: a thread that was begun
// meanwhile by one that was not pinned yet is not, either.
const pinRounds = 10

func pin(pid int, id string, cpus cpuset.Set) error {
	var mask unix.CPUSet
	for _, n := range cpus.List() {
		mask.Set(n)
	}
	for range pinRounds {
		threads, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "task"))
		if err != nil {
			return fmt.Errorf("pin shim of %s: %w", id, err)
		}
		changed := false
		for _, thread := range threads {
			now, err := pinThread(thread.Name(), mask)
			if err != nil {
				return fmt.Errorf("pin shim of %s to processors %s: %w", id, cpus, err)
			}
			changed = changed || now
		}
		if !changed {
			return nil
		}
	}
	return fmt.Errorf("pin shim of %s: it begins threads all the time: %w", id, errdefs.ErrUnavailable)
}

// pinThread tells whether the thread was not pinned before. One that has ended
// is fine.
func pinThread(name string, mask unix.CPUSet) (changed bool, err error) {
	tid, err := strconv.Atoi(name)
	if err != nil {
		return false, err
	}
	var has unix.CPUSet
	err = unix.SchedGetaffinity(tid, &has)
	if err == nil && has != mask {
		changed = true
		err = unix.SchedSetaffinity(tid, &mask)
	}
	if errors.Is(err, unix.ESRCH) {
		return false, nil
	}
	return changed, err
}
