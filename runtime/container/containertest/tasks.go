package containertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// Task is a task with what was done to it.
type Task struct {
	engine.Task
	IO      engine.TaskIO
	Rootfs  []mount.Mount
	Signals []unix.Signal
	Updates []Update
	// Restored: it continues a checkpoint.
	Restored bool
}

// Update is one change of a task's limits.
type Update struct {
	Resources   *specs.LinuxResources
	Annotations map[string]string
}

// Tasks is a fake container.Tasks. A task ends by any signal that it does not
// ignore, with 128 and the signal as its exit code. Calls: Tasks.Create,
// Tasks.Start, Tasks.Kill, Tasks.Delete, Tasks.Get, Tasks.Update.
type Tasks struct {
	faults *podtest.Faults

	mu      sync.Mutex
	all     map[string]*Task
	ignored map[unix.Signal]bool
	mute    bool
	mortal  bool
	last    int
	pinned  []string
	watcher chan engine.TaskEvent
	broken  chan struct{}
}

// Ignore are signals that no task ends by.
func (t *Tasks) Ignore(signals ...unix.Signal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ignored = make(map[unix.Signal]bool)
	for _, s := range signals {
		t.ignored[s] = true
	}
}

// Mute keeps ends from being told, as events that are lost.
func (t *Tasks) Mute(mute bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mute = mute
}

// MortalShims lets KillShim find the shims of tasks that exist.
func (t *Tasks) MortalShims() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mortal = true
}

// KillShim ends the shim of a task, and with it the task, as containerd does
// in its place. Without MortalShims there is no shim to be found.
func (t *Tasks) KillShim(id string) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.mortal || t.all[id] == nil {
		return 0, nil
	}
	t.faults.On("Tasks.Kill", podtest.Before, nil)
	t.faults.On("Tasks.Delete", podtest.Before, nil)
	t.exit(id, 137)
	delete(t.all, id)
	return 1, nil
}

// PinShim notes whose shim is told where to run.
func (t *Tasks) PinShim(_ context.Context, id string, _ config.Handler, _ map[string]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pinned = append(t.pinned, id)
}

// Pinned are the ids of containers whose shims were told where to run.
func (t *Tasks) Pinned() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.pinned)
}

// Exit ends a task.
func (t *Tasks) Exit(id string, code uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.exit(id, code)
}

// Lose makes a task vanish without a word.
func (t *Tasks) Lose(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, id)
}

// Tell sends an event to who watches.
func (t *Tasks) Tell(event engine.TaskEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tell(event)
}

// Break ends the watch under way, as a restart of containerd does.
func (t *Tasks) Break() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.broken != nil {
		close(t.broken)
		t.broken, t.watcher = nil, nil
	}
}

// Find returns a copy of a task.
func (t *Tasks) Find(id string) (Task, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one, ok := t.all[id]
	if !ok {
		return Task{}, false
	}
	found := *one
	found.Signals, found.Updates = slices.Clone(one.Signals), slices.Clone(one.Updates)
	return found, true
}

// IDs are those that exist, sorted.
func (t *Tasks) IDs() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.all))
}

func (t *Tasks) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.all)
}

func (t *Tasks) exit(id string, code uint32) {
	one := t.all[id]
	if one == nil || one.Stopped {
		return
	}
	one.Stopped, one.Created, one.ExitCode, one.ExitedAt = true, false, code, time.Now()
	t.tell(engine.TaskEvent{ContainerID: id, PID: one.PID, ExitCode: code, ExitedAt: one.ExitedAt})
}

func (t *Tasks) tell(event engine.TaskEvent) {
	if t.watcher != nil && !t.mute {
		t.watcher <- event
	}
}

// change is a call about a task that exists.
func (t *Tasks) change(ctx context.Context, call, id string, effect func(*Task) error) error {
	return t.faults.Do(ctx, call, func() error {
		t.mu.Lock()
		defer t.mu.Unlock()
		one, ok := t.all[id]
		if !ok {
			return fmt.Errorf("task %s: %w", id, errdefs.ErrNotFound)
		}
		return effect(one)
	})
}

// CreateTask is part of container.Tasks.
func (t *Tasks) CreateTask(ctx context.Context, id string, rootfs []mount.Mount, io engine.TaskIO, _ string) (pid int, err error) {
	err = t.faults.Do(ctx, "Tasks.Create", func() error {
		t.mu.Lock()
		defer t.mu.Unlock()
		if _, ok := t.all[id]; ok {
			return fmt.Errorf("task %s: %w", id, errdefs.ErrAlreadyExists)
		}
		t.last++
		pid = 5_000_000 + t.last // beyond what the kernel gives
		t.all[id] = &Task{Task: engine.Task{ID: id, PID: pid, Created: true}, IO: io, Rootfs: rootfs}
		return nil
	})
	return pid, err
}

// StartTask is part of container.Tasks.
func (t *Tasks) StartTask(ctx context.Context, id string) (pid int, err error) {
	err = t.change(ctx, "Tasks.Start", id, func(one *Task) error {
		one.Created, pid = false, one.PID
		return nil
	})
	return pid, err
}

// KillTask is part of container.Tasks.
func (t *Tasks) KillTask(ctx context.Context, id string, signal unix.Signal, _ bool) error {
	return t.change(ctx, "Tasks.Kill", id, func(one *Task) error {
		if one.Stopped {
			return fmt.Errorf("task %s has ended: %w", id, errdefs.ErrNotFound)
		}
		one.Signals = append(one.Signals, signal)
		if !t.ignored[signal] {
			t.exit(id, 128+uint32(signal))
		}
		return nil
	})
}

// DeleteTask is part of container.Tasks.
func (t *Tasks) DeleteTask(ctx context.Context, id string) error {
	err := t.change(ctx, "Tasks.Delete", id, func(one *Task) error {
		if !one.Stopped {
			return fmt.Errorf("task %s runs: %w", id, errdefs.ErrFailedPrecondition)
		}
		delete(t.all, id)
		return nil
	})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// GetTask is part of container.Tasks.
func (t *Tasks) GetTask(ctx context.Context, id string) (found engine.Task, err error) {
	err = t.change(ctx, "Tasks.Get", id, func(one *Task) error {
		found = one.Task
		return nil
	})
	return found, err
}

// UpdateTask is part of container.Tasks.
func (t *Tasks) UpdateTask(ctx context.Context, id string, resources *specs.LinuxResources, annotations map[string]string) error {
	return t.change(ctx, "Tasks.Update", id, func(one *Task) error {
		one.Updates = append(one.Updates, Update{resources, annotations})
		return nil
	})
}

// WatchTasks is part of container.Tasks.
func (t *Tasks) WatchTasks(ctx context.Context, begun func(), seen func(engine.TaskEvent)) error {
	events, broken := make(chan engine.TaskEvent, 1000), make(chan struct{})
	t.mu.Lock()
	t.watcher, t.broken = events, broken
	t.mu.Unlock()
	begun()
	for {
		select {
		case event := <-events:
			seen(event)
		case <-broken:
			return errors.New("watch: the stream broke")
		case <-ctx.Done():
			t.mu.Lock()
			defer t.mu.Unlock()
			if t.watcher == events {
				t.watcher, t.broken = nil, nil
			}
			return ctx.Err()
		}
	}
}
