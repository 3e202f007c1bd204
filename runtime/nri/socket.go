package nri

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/trivet-cri/trivet/internal/listen"
)

// socket is where plugins register. The library binds it with whatever mode
// the umask gives, so it does that where nobody else can look; from the first
// instant at which others see it, its mode is 0600.
type socket struct{ path, dir string }

// privateDirs match what a process that was killed may have left.
const privateDirs = ".nri-*"

func newSocket(path string) (*socket, error) {
	parent := filepath.Dir(path)
	if err := os.MkdirAll(parent, 0o711); err != nil {
		return nil, fmt.Errorf("make directory of NRI socket: %w", err)
	}
	left, _ := filepath.Glob(filepath.Join(parent, privateDirs)) // the pattern is good
	for _, dir := range left {
		_ = os.RemoveAll(dir) // it is only untidy
	}
	dir, err := os.MkdirTemp(parent, privateDirs)
	if err != nil {
		return nil, fmt.Errorf("make NRI socket: %w", err)
	}
	return &socket{path: path, dir: dir}, nil
}

func (s *socket) private() string { return filepath.Join(s.dir, "s") }

// publish moves the socket to its path. One that another process serves there
// is not replaced.
func (s *socket) publish() error {
	if err := listen.RemoveStale(s.path); err != nil {
		return fmt.Errorf("serve NRI socket: %w", err)
	}
	if err := os.Chmod(s.private(), 0o600); err != nil {
		return fmt.Errorf("serve NRI socket: %w", err)
	}
	if err := os.Rename(s.private(), s.path); err != nil {
		return fmt.Errorf("serve NRI socket: %w", err)
	}
	return nil
}

func (s *socket) discard() { _ = os.RemoveAll(s.dir) }
