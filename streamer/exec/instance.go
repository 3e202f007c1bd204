package exec

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/streamer/engine"
)

// idPrefix makes our processes recognisable in containerd.
const idPrefix = "trivet-exec-"

// instance is the directory of one streamer, locked (flock) as long as that
// lives. It has a directory CONTAINER.EXEC for each command, which is there
// before containerd hears of the command and goes when it has been deleted:
// the record from which a successor cleans up, and the place of the FIFOs.
type instance struct {
	path string
	lock *os.File
}

func newInstance(root string) (*instance, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of exec FIFOs: %w", err)
	}
	for {
		path := filepath.Join(root, randomName())
		if err := os.Mkdir(path, 0o700); err != nil {
			return nil, fmt.Errorf("make directory of exec FIFOs: %w", err)
		}
		own, err := takeInstance(path)
		if err != nil {
			return nil, err
		}
		if own == nil { // another streamer has taken it for a dead one's
			continue
		}
		if err := os.Mkdir(own.spare(), 0o700); err != nil {
			return nil, errors.Join(fmt.Errorf("make directory of spare FIFOs: %w", err), own.close())
		}
		return own, nil
	}
}

// takeInstance locks a directory; nil if another process has it or it has gone.
func takeInstance(path string) (*instance, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open directory of exec FIFOs: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if _, err := os.Stat(path); err != nil { // removed before it was locked
		return nil, f.Close()
	}
	return &instance{path, f}, nil
}

// spare is the directory of FIFOs that no command has.
func (i *instance) spare() string { return filepath.Join(i.path, "spare") }

// close removes the directory if no command is left in it, and unlocks it.
func (i *instance) close() error {
	_ = os.RemoveAll(i.spare())
	_ = os.Remove(i.path)
	if err := i.lock.Close(); err != nil {
		return fmt.Errorf("unlock %s: %w", i.path, err)
	}
	return nil
}

// processes are those that have a directory here.
func (i *instance) processes() ([]engine.Process, error) {
	entries, err := os.ReadDir(i.path)
	if err != nil {
		return nil, fmt.Errorf("read directory of exec FIFOs: %w", err)
	}
	var found []engine.Process
	for _, entry := range entries {
		if p, ok := parseName(entry.Name()); ok {
			found = append(found, p)
		}
	}
	return found, nil
}

func (i *instance) dir(p engine.Process) string {
	return filepath.Join(i.path, p.Container+"."+p.ID)
}

// parseName reads the name of a command's directory.
func parseName(name string) (engine.Process, bool) {
	container, id, ok := strings.Cut(name, ".")
	if !ok || ident.Check("container id", container) != nil {
		return engine.Process{}, false
	}
	suffix, ok := strings.CutPrefix(id, idPrefix)
	if !ok || ident.Check("exec id", suffix) != nil {
		return engine.Process{}, false
	}
	return engine.Process{Container: container, ID: id}, true
}

func newProcess(container string) engine.Process {
	return engine.Process{Container: container, ID: idPrefix + randomName()}
}

func randomName() string {
	var raw [12]byte
	_, _ = rand.Read(raw[:]) // never fails: it ends the process instead
	return hex.EncodeToString(raw[:])
}
