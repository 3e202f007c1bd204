package exec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/streamer/shimio"
)

const (
	// pipeSize is asked for FIFOs of sessions, in bytes; the kernel may refuse.
	pipeSize = 512 << 10
	// firstLook is the first pause between two looks for the shim's end,
	// nextLook the longest.
	firstLook = time.Millisecond
	nextLook  = 50 * time.Millisecond
)

// wanted says which streams a command has.
type wanted struct {
	stdin, stdout, stderr bool
	brief                 bool // the command is a Sync's: see pair
}

func (w wanted) names() (names []string) {
	for _, stream := range []struct {
		name string
		ask  bool
	}{{shimio.Stdin, w.stdin}, {shimio.Stdout, w.stdout}, {shimio.Stderr, w.stderr}} {
		if stream.ask {
			names = append(names, stream.name)
		}
	}
	return names
}

// pipes are the FIFOs of one command, opened without ever waiting for the
// shim's side.
type pipes struct {
	dir            string
	stdout, stderr *os.File
	// keepers are second ends: a FIFO's reader sees no end before the shim
	// has come, and its writer can open it.
	// They are bare descriptors, for nothing is done to them but closing.
	keepers []int

	mu     sync.Mutex
	stdin  *os.File // see input
	hold   int      // a writing end of stdin until input has its own; -1 for none
	closed bool
}

// openPipes makes the FIFOs in dir, which exists. After an error close must
// still be called.
func openPipes(dir string, want wanted) (*pipes, error) {
	p := &pipes{dir: dir, hold: -1}
	for _, stream := range []struct {
		name string
		ask  bool
		into **os.File
		flag int
	}{
		// A writer that has no reader yet cannot open; one that reads and writes can.
		{shimio.Stdin, want.stdin, nil, os.O_RDWR},
		{shimio.Stdout, want.stdout, &p.stdout, os.O_RDONLY},
		{shimio.Stderr, want.stderr, &p.stderr, os.O_RDONLY},
	} {
		if !stream.ask {
			continue
		}
		if err := p.open(stream.name, stream.flag, stream.into); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (p *pipes) open(name string, flag int, into **os.File) error {
	path := filepath.Join(p.dir, name)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return fmt.Errorf("make FIFO %s: %w", path, err)
	}
	if into == nil {
		return p.holdStdin(path, flag)
	}
	f, err := os.OpenFile(path, flag|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open FIFO: %w", err)
	}
	*into = f
	return p.keep(path, unix.O_WRONLY)
}

func (p *pipes) keep(path string, flag int) error {
	fd, err := openEnd(path, flag)
	if err == nil {
		p.keepers = append(p.keepers, fd)
	}
	return err
}

// holdStdin sees to it that stdin always has a writer: the shim opens its two
// ends in any order, and when it reads before it writes, and nobody else does,
// it takes that for the end.
func (p *pipes) holdStdin(path string, flag int) (err error) {
	if err := p.keep(path, flag); err != nil {
		return err
	}
	p.hold, err = openEnd(path, unix.O_WRONLY)
	return err
}

func openEnd(path string, flag int) (int, error) {
	fd, err := unix.Open(path, flag|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open FIFO %s: %w", path, err)
	}
	return fd, nil
}

// connected is called when the shim has opened its ends of the outputs: from
// now on the end of either side is seen by the other.
func (p *pipes) connected() { p.release() }

// input opens the writing end of stdin when the shim has opened the other,
// which it does in its own time: before, a write would find no reader.
// Error: of ctx, which ends with the command, or ErrClosed.
func (p *pipes) input(ctx context.Context) (*os.File, error) {
	path := filepath.Join(p.dir, shimio.Stdin)
	for pause := firstLook; ; pause = min(2*pause, nextLook) {
		f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
		if err == nil {
			return p.owned(f)
		}
		if !errors.Is(err, unix.ENXIO) { // nobody reads
			return nil, fmt.Errorf("open FIFO: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// owned leaves it to close to end writes to f.
func (p *pipes) owned(f *os.File) (*os.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = f.Close()
		return nil, os.ErrClosed
	}
	if p.stdin != nil {
		_ = p.stdin.Close() // nothing was written to it
	}
	p.stdin = f
	p.letGo()
	enlarge(f)
	return f, nil
}

// letGo is called with the lock.
func (p *pipes) letGo() {
	if p.hold >= 0 {
		_ = unix.Close(p.hold)
	}
	p.hold = -1
}

func (p *pipes) release() {
	for _, keeper := range p.keepers {
		_ = unix.Close(keeper)
	}
	p.keepers = nil
}

// enlarge lets the command run ahead of its reader.
func (p *pipes) enlarge() {
	for _, f := range []*os.File{p.stdout, p.stderr} {
		if f != nil {
			enlarge(f)
		}
	}
}

func enlarge(f *os.File) {
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
	}
}

// close may be called more than once, and during reads and writes: they end.
func (p *pipes) close() {
	p.release()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.letGo()
	for _, f := range []*os.File{p.stdin, p.stdout, p.stderr} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// removePipes removes the directory of a command's FIFOs. Their names
// are known, which saves reading it.
func removePipes(dir string) error {
	for _, name := range []string{shimio.Stdin, shimio.Stdout, shimio.Stderr} {
		_ = unix.Unlink(filepath.Join(dir, name))
	}
	if unix.Rmdir(dir) == nil {
		return nil
	}
	return os.RemoveAll(dir)
}
