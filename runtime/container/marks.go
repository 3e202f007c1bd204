package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/trivet-cri/trivet/internal/ident"
)

// marks are one small file for each container whose start has begun, with the
// time of it. They are cheap, on tmpfs, and gone after a reboot: then nothing
// that was started runs any more.
type marks struct{ dir string }

func newMarks(dir string) (marks, error) {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return marks{}, fmt.Errorf("make directory of started containers: %w", err)
	}
	return marks{dir}, nil
}

// set records that the start of id begins.
func (m marks) set(id string, at time.Time) error {
	if err := os.WriteFile(filepath.Join(m.dir, id), []byte(at.Format(time.RFC3339Nano)), 0o600); err != nil {
		return fmt.Errorf("mark container %s as started: %w", id, err)
	}
	return nil
}

// get tells whether and when id was started. A file that cannot be read as a
// time, which a crash amid set leaves, counts with its own time.
func (m marks) get(id string) (at time.Time, started bool) {
	path := filepath.Join(m.dir, id)
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}, false
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return info.ModTime(), true
	}
	if at, err = time.Parse(time.RFC3339Nano, string(text)); err != nil {
		return info.ModTime(), true
	}
	return at, true
}

// clear forgets id.
func (m marks) clear(id string) error {
	if err := os.Remove(filepath.Join(m.dir, id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove mark of container %s: %w", id, err)
	}
	return nil
}

// list returns the ids of all marks.
func (m marks) list() ([]string, error) {
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return nil, fmt.Errorf("list started containers: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if ident.Check("container id", e.Name()) == nil {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}
