package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/trivet-cri/trivet/internal/ident"
)

// Journal is a directory with one file for each checkpoint that is being
// taken, so that a process that is killed amid one leaves no frozen container
// and no half archive: its successor reads what to thaw and remove. It is on
// the disk: a reboot thaws, but leaves half an archive as well.
type Journal struct{ dir string }

// Entry is one checkpoint under way.
type Entry struct {
	// Containers are the ids of those that may be frozen.
	Containers []string `json:"containers"`
	// Remove are paths of what is not complete.
	Remove []string `json:"remove"`

	name string
}

// NewJournal uses dir, which it makes.
func NewJournal(dir string) (Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Journal{}, fmt.Errorf("make directory of checkpoints under way: %w", err)
	}
	return Journal{dir}, nil
}

// Begin keeps an entry until End. It is whole before anything that it tells
// of may happen.
func (j Journal) Begin(e Entry) (Entry, error) {
	e.name = ident.New() + suffix
	text, err := json.Marshal(e)
	if err != nil {
		return e, fmt.Errorf("note a checkpoint under way: %w", err)
	}
	path := filepath.Join(j.dir, e.name)
	if err := writeSynced(path+".new", text); err != nil {
		return e, errors.Join(fmt.Errorf("note a checkpoint under way: %w", err), ignoreMissing(os.Remove(path+".new")))
	}
	if err := os.Rename(path+".new", path); err != nil {
		return e, fmt.Errorf("note a checkpoint under way: %w", err)
	}
	return e, nil
}

const suffix = ".json"

// writeSynced writes a file that is whole on the disk before it gets its name.
func writeSynced(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// End forgets an entry.
func (j Journal) End(e Entry) error {
	if err := ignoreMissing(os.Remove(filepath.Join(j.dir, e.name))); err != nil {
		return fmt.Errorf("forget a checkpoint under way: %w", err)
	}
	return nil
}

// Left are the entries of checkpoints that are not ended. One that cannot be
// read was never whole, so nothing has happened, and it is removed.
func (j Journal) Left() ([]Entry, error) {
	files, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, fmt.Errorf("list checkpoints under way: %w", err)
	}
	var left []Entry
	for _, file := range files {
		path := filepath.Join(j.dir, file.Name())
		e := Entry{name: file.Name()}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || !strings.HasSuffix(file.Name(), suffix) || json.Unmarshal(text, &e) != nil {
			if err := ignoreMissing(os.Remove(path)); err != nil {
				return nil, fmt.Errorf("remove broken note of a checkpoint: %w", err)
			}
			continue
		}
		left = append(left, e)
	}
	return left, nil
}

// Clear removes what an entry says is not complete.
func (e Entry) Clear() error {
	var failed []error
	for _, path := range e.Remove {
		if err := os.RemoveAll(path); err != nil {
			failed = append(failed, fmt.Errorf("remove an incomplete checkpoint: %w", err))
		}
	}
	return errors.Join(failed...)
}
