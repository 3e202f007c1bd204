package containertest

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// Checkpoints is a fake of CRIU and of what containerd does for checkpoints:
// container.CRIU, Freezer, Dumper and Restorer. A dump holds the task's process
// id, and a task that is restored goes on with it. Calls: CRIU.Check,
// Tasks.Pause, Tasks.Resume, Tasks.Checkpoint, Snapshots.Diff, Snapshots.Apply,
// Tasks.Restore.
type Checkpoints struct {
	faults *podtest.Faults
	tasks  *Tasks

	mu      sync.Mutex
	frozen  map[string]bool
	applied map[string]Applied
	history []string
}

// Applied is what a restore has changed in a snapshot.
type Applied struct {
	Files   map[string]string // content by name
	Deleted []string
}

// Frozen are the ids of tasks that are frozen.
func (c *Checkpoints) Frozen() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.frozen)
}

// Applied are the changes in the snapshot of a container.
func (c *Checkpoints) Applied(id string) Applied {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.applied[id]
}

// History are freezes, dumps and thaws so far, in order, as "freeze ID".
func (c *Checkpoints) History() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.history...)
}

func (c *Checkpoints) note(what, id string, change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history = append(c.history, what+" "+id)
	change()
}

// Check is part of container.CRIU.
func (c *Checkpoints) Check(ctx context.Context, _ config.Handler) error {
	return c.faults.Do(ctx, "CRIU.Check", func() error { return nil })
}

// PauseTask is part of container.Freezer.
func (c *Checkpoints) PauseTask(ctx context.Context, id string) error {
	return c.tasks.change(ctx, "Tasks.Pause", id, func(*Task) error {
		c.note("freeze", id, func() { c.frozen[id] = true })
		return nil
	})
}

// ResumeTask is part of container.Freezer.
func (c *Checkpoints) ResumeTask(ctx context.Context, id string) error {
	return c.faults.Do(ctx, "Tasks.Resume", func() error {
		c.note("thaw", id, func() { delete(c.frozen, id) })
		return nil
	})
}

// CheckpointTask is part of container.Dumper.
func (c *Checkpoints) CheckpointTask(ctx context.Context, id, images, work string) error {
	return c.tasks.change(ctx, "Tasks.Checkpoint", id, func(one *Task) error {
		c.note("dump", id, func() {})
		for _, dir := range []string{images, work} {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(work, "dump.log"), []byte("(00.1) done\n"), 0o600); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(images, "inventory.img"), fmt.Appendf(nil, "%d", one.PID), 0o600)
	})
}

// WriteRootfsDiff is part of container.Dumper. Each container has changed
// one file, /changed, in which its id is.
func (c *Checkpoints) WriteRootfsDiff(ctx context.Context, _, key string, out io.Writer) error {
	return c.faults.Do(ctx, "Snapshots.Diff", func() error {
		archive := tar.NewWriter(out)
		if err := archive.WriteHeader(&tar.Header{Name: "changed", Size: int64(len(key)), Mode: 0o644}); err != nil {
			return err
		}
		if _, err := archive.Write([]byte(key)); err != nil {
			return err
		}
		return archive.Close()
	})
}

// ApplyRootfsDiff is part of container.Restorer.
func (c *Checkpoints) ApplyRootfsDiff(ctx context.Context, mounts []mount.Mount, changes io.Reader, deleted []string) error {
	return c.faults.Do(ctx, "Snapshots.Apply", func() error {
		done := Applied{Files: make(map[string]string), Deleted: deleted}
		for archive := tar.NewReader(changes); changes != nil; {
			header, err := archive.Next()
			if err == io.EOF { //nolint:errorlint // the library promises this value
				break
			}
			if err != nil {
				return err
			}
			content, err := io.ReadAll(archive)
			if err != nil {
				return err
			}
			done.Files[header.Name] = string(content)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.applied[mounts[0].Source] = done
		return nil
	})
}

// RestoreTask is part of container.Restorer.
func (c *Checkpoints) RestoreTask(ctx context.Context, id string, rootfs []mount.Mount, io engine.TaskIO, from engine.Restore) error {
	return c.faults.Do(ctx, "Tasks.Restore", func() error {
		text, err := os.ReadFile(filepath.Join(from.Images, "inventory.img"))
		if err != nil {
			return err
		}
		var pid int
		if _, err := fmt.Sscan(string(text), &pid); err != nil {
			return fmt.Errorf("image %q: %w", text, errdefs.ErrInvalidArgument)
		}
		c.tasks.mu.Lock()
		defer c.tasks.mu.Unlock()
		if _, ok := c.tasks.all[id]; ok {
			return fmt.Errorf("task %s: %w", id, errdefs.ErrAlreadyExists)
		}
		c.tasks.all[id] = &Task{Task: engine.Task{ID: id, PID: pid, Created: true}, IO: io, Rootfs: rootfs, Restored: true}
		return nil
	})
}
