package nri

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/trivet-cri/trivet/internal/listen"
)

// room is a directory that nobody else can look into, beside the socket of
// plugins: it has the library's socket, which the library binds with whatever
// mode the umask gives, and links to the plugins that the library loads.
type room struct{ dir string }

// newRoom makes the room, or clears that of a process that was killed. One that
// another process uses is an error.
func newRoom(socket string) (*room, error) {
	r := &room{dir: filepath.Join(filepath.Dir(socket), "."+filepath.Base(socket))}
	if err := os.MkdirAll(filepath.Dir(socket), 0o711); err != nil {
		return nil, fmt.Errorf("make directory of NRI socket: %w", err)
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make private directory of NRI: %w", err)
	}
	if err := os.Chmod(r.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make private directory of NRI: %w", err)
	}
	if err := listen.RemoveStale(r.socket()); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(r.programs()); err != nil {
		return nil, fmt.Errorf("clear private directory of NRI: %w", err)
	}
	return r, nil
}

func (r *room) socket() string   { return filepath.Join(r.dir, "s") }
func (r *room) programs() string { return filepath.Join(r.dir, "p") }

// hold links programs into the room.
func (r *room) hold(all []program) error {
	if err := os.Mkdir(r.programs(), 0o700); err != nil {
		return fmt.Errorf("load NRI plugins: %w", err)
	}
	for _, one := range all {
		if err := os.Symlink(one.path, filepath.Join(r.programs(), one.name())); err != nil {
			return fmt.Errorf("load NRI plugin %s: %w", one.name(), err)
		}
	}
	return nil
}

// clear removes the room; what is left of it, the next process clears.
func (r *room) clear() { _ = os.RemoveAll(r.dir) }
