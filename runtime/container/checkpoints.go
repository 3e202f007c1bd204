package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/runtime/checkpoint"
)

// checkpoints are the directories of checkpoints that are being taken, and of
// those that created containers will be restored from.
type checkpoints struct {
	work    string // below it, for checkpoints under way
	restore string // below it a directory for each container to restore
	journal checkpoint.Journal
	left    []checkpoint.Entry // of the process before this one
}

func newCheckpoints(dir, state string) (checkpoints, error) {
	c := checkpoints{work: filepath.Join(dir, "work"), restore: filepath.Join(dir, "restore")}
	for _, one := range []string{c.work, c.restore} {
		if err := os.MkdirAll(one, 0o700); err != nil {
			return c, fmt.Errorf("make directory of checkpoints: %w", err)
		}
	}
	// No checkpoint of this process is under way yet.
	entries, err := os.ReadDir(c.work)
	if err != nil {
		return c, fmt.Errorf("list checkpoints under way: %w", err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(c.work, e.Name())); err != nil {
			return c, fmt.Errorf("remove an incomplete checkpoint: %w", err)
		}
	}
	if c.journal, err = checkpoint.NewJournal(state); err != nil {
		return c, err
	}
	c.left, err = c.journal.Left()
	return c, err
}

// Journal notes what a process that is killed leaves incomplete; Thaw of the
// next one undoes it.
func (s *Service) Journal() checkpoint.Journal { return s.checkpoints.journal }

// of is the directory of the checkpoint that a container is restored from.
func (c checkpoints) of(id string) string { return filepath.Join(c.restore, id) }

func (c checkpoints) remove(id string) error {
	if err := ident.Check("container id", id); err != nil {
		return err
	}
	if err := os.RemoveAll(c.of(id)); err != nil {
		return fmt.Errorf("remove checkpoint of container %s: %w", id, err)
	}
	return nil
}

// list are the ids of containers that have a checkpoint to be restored from.
func (c checkpoints) list() ([]string, error) {
	ids, err := ident.InDir(c.restore)
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	return ids, nil
}

// Thaw ends what an earlier process was killed amid: containers that it had
// frozen go on, and checkpoints that are not complete are removed. It returns
// when that is done, or ctx ends. A shim that hangs holds up nobody else's
// thaw.
func (s *Service) Thaw(ctx context.Context) error {
	return each(s.checkpoints.left, func(entry checkpoint.Entry) error {
		s.thaw(ctx, entry)
		return nil
	})
}

// thaw thaws the containers of an entry, as soon as containerd and their shims
// answer, and clears it.
func (s *Service) thaw(ctx context.Context, entry checkpoint.Entry) {
	for {
		err := s.tryThaw(ctx, entry)
		if err == nil {
			s.Log.WarnContext(ctx, "what a checkpoint that was cut short had left is undone", "containers", entry.Containers, "removed", entry.Remove)
			return
		}
		s.Log.WarnContext(ctx, "what a checkpoint that was cut short has left is not undone yet", "containers", entry.Containers, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryPause):
		}
	}
}

func (s *Service) tryThaw(ctx context.Context, entry checkpoint.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, thawLimit)
	defer cancel()
	if err := s.resume(ctx, entry.Containers); err != nil {
		return err
	}
	return s.forget(entry)
}

// resume thaws containers, all at once: one that hangs keeps none of the others
// frozen.
func (s *Service) resume(ctx context.Context, ids []string) error {
	return each(ids, func(id string) error { return s.Freezer.ResumeTask(ctx, id) })
}
