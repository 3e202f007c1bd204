package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/internal/wholefile"
)

// marks are one small file for each container whose start has begun, which
// tells how far the start had come. They are cheap, on tmpfs, and gone after a
// reboot: then nothing that was started runs any more.
type marks struct{ dir string }

// mark is the content of one.
type mark struct {
	Begun time.Time `json:"begun"`
	Step  step      `json:"step"`
	PID   int       `json:"pid,omitempty"` // once it runs
}

// step is how far a start has come.
type step string

const (
	// creating: there may be a task, but its process was not started.
	creating step = "creating"
	// starting: containerd was asked to start the process.
	starting step = "starting"
	// running: it has done so.
	running step = "running"
)

func newMarks(dir string) (marks, error) {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return marks{}, fmt.Errorf("make directory of started containers: %w", err)
	}
	return marks{dir}, nil
}

// set records how far the start of id is. A reader sees the old mark or the
// new one, whenever this process is killed.
func (m marks) set(id string, how mark) error {
	text, err := json.Marshal(how)
	if err != nil {
		return fmt.Errorf("mark container %s as started: %w", id, err)
	}
	if err := wholefile.Write(filepath.Join(m.dir, id), text); err != nil {
		return fmt.Errorf("mark container %s as started: %w", id, err)
	}
	return nil
}

// get tells how far the start of id has come, if it was begun. A file that
// cannot be understood counts as a start that has come as far as can be.
func (m marks) get(id string) (how mark, started bool) {
	path := filepath.Join(m.dir, id)
	info, err := os.Stat(path)
	if err != nil {
		return mark{}, false
	}
	unknown := mark{Begun: info.ModTime(), Step: running}
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &how) != nil || how.Begun.IsZero() {
		return unknown, true
	}
	return how, true
}

// clear forgets id.
func (m marks) clear(id string) error {
	path := filepath.Join(m.dir, id)
	for _, file := range []string{path, path + wholefile.Draft} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove mark of container %s: %w", id, err)
		}
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
		id := strings.TrimSuffix(e.Name(), wholefile.Draft)
		if ident.Check("container id", id) == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}
