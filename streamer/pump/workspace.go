package pump

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

const (
	// batchSize is the most input that one append covers, in bytes.
	batchSize = 256 << 10
	// roomSize is the output at which an append is full; short lines grow.
	roomSize = 384 << 10
	// scratchSize is the capacity asked for the scratch pipe.
	scratchSize = 1 << 20
)

// workspace is what a pump needs for one read: memory, and the pipe through
// which a FIFO's head is seen without being consumed.
type workspace struct {
	in, out []byte
	r, w    int // the scratch pipe; empty between uses
	limit   int // the line length that surely fits through it
}

// workspaces keeps a few workspaces for use by turns, so that memory follows
// the number of containers that write at this moment and not of those that exist.
type workspaces struct{ spare chan *workspace }

func newWorkspaces() *workspaces {
	return &workspaces{spare: make(chan *workspace, runtime.GOMAXPROCS(0))}
}

func (s *workspaces) get() (*workspace, error) {
	select {
	case w := <-s.spare:
		return w, nil
	default:
		return newWorkspace()
	}
}

// put takes w back. broken says that its pipe may not be empty.
func (s *workspaces) put(w *workspace, broken bool) {
	if !broken {
		select {
		case s.spare <- w:
			return
		default:
		}
	}
	w.close()
}

func (s *workspaces) drain() {
	for {
		select {
		case w := <-s.spare:
			w.close()
		default:
			return
		}
	}
}

func newWorkspace() (*workspace, error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("make scratch pipe: %w", err)
	}
	capacity := resize(ends[0], scratchSize)
	if capacity < minPages*os.Getpagesize() {
		_ = unix.Close(ends[0])
		_ = unix.Close(ends[1])
		return nil, fmt.Errorf("scratch pipe holds %d bytes: %w", capacity, errdefs.ErrResourceExhausted)
	}
	return &workspace{
		in:    make([]byte, batchSize),
		out:   make([]byte, 0, roomSize+batchSize/2),
		r:     ends[0],
		w:     ends[1],
		limit: lineLimit(0, capacity),
	}, nil
}

func (w *workspace) close() {
	_ = unix.Close(w.r) // pipes have nothing to flush
	_ = unix.Close(w.w)
}

// errBroken is returned when bytes may be left in the scratch pipe.
var errBroken = errors.New("scratch pipe is out of step")

// peek copies the head of the FIFO fd to w.in and consumes nothing. Like
// read(2) it returns 0 for an empty FIFO without writers, EAGAIN for one with.
func (w *workspace) peek(fd int) (int, error) {
	n, err := retry(func() (int, error) {
		n, err := unix.Tee(fd, w.w, batchSize, unix.SPLICE_F_NONBLOCK)
		return int(n), err
	})
	if err != nil || n == 0 {
		return 0, err
	}
	for got := 0; got < n; {
		m, err := retry(func() (int, error) { return unix.Read(w.r, w.in[got:n]) })
		if err != nil || m == 0 {
			return 0, fmt.Errorf("%w: %w", errBroken, err)
		}
		got += m
	}
	return n, nil
}

// resize asks for a pipe's capacity in bytes and returns what it got: without
// privileges the kernel has limits for one pipe and for all of a user.
func resize(fd, size int) int {
	for ; size >= minPages*os.Getpagesize(); size /= 2 {
		if got, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, size); err == nil {
			return got
		}
	}
	got, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		return 0
	}
	return got
}

// retry repeats a call that a signal has interrupted. n is 0 with an error.
func retry(call func() (int, error)) (n int, err error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}
