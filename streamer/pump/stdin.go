package pump

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// stdin is the writing end of a container's stdin FIFO. It is open from the
// start, so that the container does not see an end before a client comes.
type stdin struct {
	path string
	file *os.File      // nil if a predecessor has closed the stdin
	turn chan struct{} // has a token while a write is under way
	shut chan struct{} // closed with closed

	closed bool // for good; belongs to who has the turn
}

// openStdin opens the FIFO for both directions: that needs no reader, and what
// is written before the task starts is not lost. A FIFO that is missing has
// been closed for good.
func openStdin(path string) (*stdin, error) {
	s := &stdin{path: path, turn: make(chan struct{}, 1), shut: make(chan struct{})}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOENT) {
		s.forget()
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open fifo %q: %w", path, err)
	}
	s.file = os.NewFile(uintptr(fd), path)
	return s, nil
}

// write writes all of chunk, undivided by other clients' chunks, or as much as
// was possible before ctx ended.
func (s *stdin) write(ctx context.Context, chunk []byte) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.turn }()
	if s.closed {
		return fmt.Errorf("container's stdin is closed: %w", errdefs.ErrFailedPrecondition)
	}
	// A deadline in the past is how a blocked write is called off.
	interrupted := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = s.file.SetWriteDeadline(time.Unix(1, 0))
	})
	_, err := s.file.Write(chunk)
	if !release() {
		<-interrupted
		_ = s.file.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		return fmt.Errorf("write to the container's stdin: %w", err)
	}
	return nil
}

// close ends the container's stdin for good: for this process, whose end is
// closed, and for a successor, which finds no FIFO. done is false if it was
// closed already.
func (s *stdin) close(ctx context.Context) (done bool, err error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	defer func() { <-s.turn }()
	if s.closed {
		return false, nil
	}
	if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("remove stdin fifo: %w", err)
	}
	s.forget()
	return true, s.release()
}

// over tells whether the stdin is closed for good.
func (s *stdin) over() bool {
	if s == nil {
		return false
	}
	select {
	case <-s.shut:
		return true
	default:
		return false
	}
}

// drop is for a process that hears that another has closed the stdin.
func (s *stdin) drop() error {
	err := s.release() // which ends the write that has the turn
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.forget()
	return err
}

// forget marks the stdin as closed. The caller has the turn.
func (s *stdin) forget() {
	if !s.closed {
		s.closed = true
		close(s.shut)
	}
}

// release closes this process's end. A write that is blocked fails.
func (s *stdin) release() error {
	if s == nil || s.file == nil {
		return nil
	}
	if err := s.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close stdin fifo: %w", err)
	}
	return nil
}
