package exec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/streamer/shimio"
)

const (
	// spareLimit is how many pairs are kept in reserve.
	spareLimit = 32
	// closing is how long the shim of a command that has exited may take to
	// close the FIFOs before they are polled.
	closing = 5 * time.Millisecond
)

// pair are the FIFOs of a Sync's outputs. Most such commands are short and
// say little: to make, poll and remove FIFOs for each costs more than to read
// what they say. So they are read when the command has exited, and used again.
//
// Nothing is read before the shim has opened its ends: until then there is
// no writer, which looks like the end.
type pair struct {
	dir    string
	fds    [2]int // of stdout and stderr; -1 when a file has it
	polled [2]*os.File
	ended  [2]bool
}

// newPair makes one in a new directory.
func newPair(dir string) (*pair, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of FIFOs: %w", err)
	}
	p := &pair{dir: dir, fds: [2]int{-1, -1}}
	for i, name := range []string{shimio.Stdout, shimio.Stderr} {
		path := filepath.Join(dir, name)
		err := unix.Mkfifo(path, 0o600)
		if err == nil {
			p.fds[i], err = unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make FIFO %s: %w", path, err), p.remove())
		}
	}
	return p, nil
}

// drain reads both outputs, and tells whether they have ended. The command has
// exited: if nobody else has them, the shim is just closing them.
func (p *pair) drain(outputs [2]*capped) bool {
	for begun := time.Now(); !p.read(outputs); {
		var waiting []unix.PollFd
		for i, fd := range p.fds {
			if !p.ended[i] {
				waiting = append(waiting, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
			}
		}
		left := closing - time.Since(begun)
		if left <= 0 {
			return false
		}
		// A blocked thread costs less than the runtime's poller.
		_, _ = unix.Poll(waiting, int(left.Milliseconds())+1)
	}
	return true
}

// read reads what is there of both outputs, and tells whether both have ended.
func (p *pair) read(outputs [2]*capped) bool {
	buffer, _ := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buffer)
	for i, fd := range p.fds {
		for !p.ended[i] {
			n, err := unix.Read(fd, buffer[:])
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil { // EAGAIN, or a poller may find out
				return false
			}
			_, _ = outputs[i].Write(buffer[:n]) // cannot fail
			p.ended[i] = n == 0
		}
	}
	return true
}

// poll returns the FIFOs as files, which are closed with it. The pair cannot be used again.
func (p *pair) poll() [2]*os.File {
	for i, name := range []string{shimio.Stdout, shimio.Stderr} {
		p.polled[i] = os.NewFile(uintptr(p.fds[i]), name)
		p.fds[i] = -1
	}
	return p.polled
}

// unused tells whether nobody has the FIFOs open any more.
func (p *pair) unused() bool { return p.ended[0] && p.ended[1] && p.fds[0] >= 0 }

func (p *pair) close() {
	for i, fd := range p.fds {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		p.fds[i] = -1
		if p.polled[i] != nil {
			_ = p.polled[i].Close()
		}
	}
}

func (p *pair) remove() error {
	p.close()
	return removePipes(p.dir)
}

// spares are pairs in reserve. The zero value has none.
type spares struct {
	dir string

	mu     sync.Mutex
	free   []*pair
	last   int // number of a directory
	closed bool
}

// take returns a pair in directory dir, which must not exist.
func (s *spares) take(dir string) (*pair, error) {
	s.mu.Lock()
	var p *pair
	if n := len(s.free); n > 0 {
		p, s.free = s.free[n-1], s.free[:n-1]
	}
	s.mu.Unlock()
	if p == nil {
		return newPair(dir)
	}
	if err := unix.Rename(p.dir, dir); err != nil {
		return nil, errors.Join(fmt.Errorf("name directory of FIFOs %s: %w", dir, err), p.remove())
	}
	p.dir, p.ended = dir, [2]bool{}
	return p, nil
}

// give takes a pair back, or removes it.
func (s *spares) give(p *pair) error {
	if !p.unused() || !s.keep(p) {
		return p.remove()
	}
	return nil
}

func (s *spares) keep(p *pair) bool {
	s.mu.Lock()
	if s.closed || len(s.free) >= spareLimit {
		s.mu.Unlock()
		return false
	}
	s.last++
	dir := filepath.Join(s.dir, strconv.Itoa(s.last))
	s.mu.Unlock()
	if unix.Rename(p.dir, dir) != nil {
		return false
	}
	p.dir = dir
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.free = append(s.free, p)
	return true
}

// close removes all, also those that come later.
func (s *spares) close() error {
	s.mu.Lock()
	free := s.free
	s.free, s.closed = nil, true
	s.mu.Unlock()
	var failed []error
	for _, p := range free {
		failed = append(failed, p.remove())
	}
	return errors.Join(failed...)
}
