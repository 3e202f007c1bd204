package pump

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/streamer/crilog"
)

// source is the reading end of one output FIFO. It belongs to its pump's turn.
type source struct {
	index  int
	name   string
	path   string
	framer crilog.Framer
	limit  int // line length at which this FIFO's lines are cut

	fd      int
	key     int32
	watched interest
	armed   bool // watched is in force, no event has been taken since

	prompt  prompt
	pending int  // bytes left in the FIFO because their line is unfinished
	shown   int  // bytes of the FIFO's head that the hub has had
	writer  bool // a writer is or was there
	ended   bool
}

func (p *pump) openSource(index, maxLine int) (*source, error) {
	name := outputNames[index]
	s := &source{index: index, name: name, path: filepath.Join(p.dir, name), framer: crilog.NewFramer(name)}
	var err error
	// O_NONBLOCK lets the open succeed before there is a writer.
	s.fd, err = unix.Open(s.path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open fifo %q: %w", s.path, err)
	}
	capacity := resize(s.fd, p.set.config.PipeSize)
	if capacity < minPages*os.Getpagesize() {
		_ = unix.Close(s.fd)
		return nil, fmt.Errorf("fifo %q holds %d bytes, the limit of fs.pipe-user-pages-soft is reached: %w",
			s.path, capacity, errdefs.ErrResourceExhausted)
	}
	s.limit = lineLimit(maxLine, capacity)
	s.key, err = p.set.poller.add(s.fd, func() { p.wakeQuietly(1 << index) })
	if err != nil {
		_ = unix.Close(s.fd)
		return nil, err
	}
	s.watched, s.armed = quiet, false
	return s, nil
}

// minPages is the smallest FIFO, in pages, that a line can be cut in.
const minPages = 4

// lineLimit is the longest line that may wait in a pipe of that capacity,
// however it was written. A pipe holds pages, not bytes: the first may have
// any small rest, and of the others any two neighbours hold more than one
// page's bytes together. So a full pipe may show half its capacity without the
// first page, and a line that is longer could fill it and never end.
func lineLimit(maxLine, capacity int) int {
	limit := min(capacity/2-os.Getpagesize(), batchSize) - 2
	if maxLine > 0 {
		limit = min(limit, maxLine)
	}
	return limit
}

// close ends the reading for good.
func (s *source) close(p *poller) {
	if s.ended {
		return
	}
	s.ended = true
	s.prompt.stop()
	p.remove(s.fd, s.key)
	_ = unix.Close(s.fd) // only read from
}

// hungUp tells whether there was a writer since this process opened the FIFO
// and there is none now.
func (s *source) hungUp() bool {
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
	n, err := retry(func() (int, error) { return unix.Poll(fds, 0) })
	return err == nil && n > 0 && fds[0].Revents&unix.POLLHUP != 0
}

// available is the number of unread bytes.
func (s *source) available() int {
	n, err := unix.IoctlGetInt(s.fd, unix.TIOCINQ)
	if err != nil {
		return -1
	}
	return n
}

// changed tells whether there is something else than the unfinished line.
func (s *source) changed() bool { return s.available() != s.pending || s.hungUp() }

// poke makes the end visible of writers that were there only before this
// process opened the FIFO: the kernel reports a hang-up only to readers that
// have seen a writer come.
func (s *source) poke() {
	fd, err := unix.Open(s.path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
}

// errShort means that a FIFO had fewer bytes than were seen in it: somebody
// else reads from it.
var errShort = errors.New("fifo has lost bytes")

// consume takes len(scratch)+len(mark) bytes that are known to be there, the
// last into mark. It is one read, which a signal does not divide.
func (s *source) consume(scratch, mark []byte) error {
	n, err := retry(func() (int, error) { return unix.Readv(s.fd, [][]byte{scratch, mark}) })
	if err != nil {
		return fmt.Errorf("consume from fifo %s: %w", s.name, err)
	}
	if n != len(scratch)+len(mark) {
		return fmt.Errorf("consume from fifo %s: %d of %d bytes: %w", s.name, n, len(scratch)+len(mark), errShort)
	}
	return nil
}
