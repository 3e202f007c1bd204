package server

import (
	"errors"
	"io"
	"math"
	"sync"

	"github.com/trivet-cri/trivet/streamer/eager"
)

const (
	// pieceSize, in bytes, is what a stream's data is kept in.
	pieceSize = 64 << 10
	// inboxLimit and inboxesLimit are how many pieces may wait for the readers
	// of a stream, and of all of a connection. Beyond, frames wait on the wire.
	inboxLimit   = 50
	inboxesLimit = 250
)

var pieces = sync.Pool{New: func() any { return new(piece) }}

// piece is data of one or more frames.
type piece struct {
	bytes      [pieceSize]byte
	begin, end int // of what is to be read
}

func newPiece() *piece {
	p, _ := pieces.Get().(*piece)
	p.begin, p.end = 0, 0
	return p
}

// inboxes are what has come for the streams of a connection.
type inboxes struct {
	mu      sync.Mutex
	room    sync.Cond // for put
	streams map[uint32]*inbox
	next    uint32 // the lowest number that a new stream may have
	waiting int    // pieces
	ended   bool
}

func newInboxes() *inboxes {
	s := &inboxes{streams: make(map[uint32]*inbox), next: 1}
	s.room.L = &s.mu
	return s
}

// inbox is what has come for a stream, for one reader.
type inbox struct {
	set    *inboxes
	id     uint32
	ready  sync.Cond
	pieces []*piece
	ended  bool // no more comes
	gone   bool // nobody reads it
	// idle is where the reader writes what it is waiting for; nil if it does
	// not wait. failed is what became of another's write there.
	idle   eager.Writer
	failed error
	// current is being read. It is the reader's.
	current *piece
}

// open makes the inbox of a stream that the client opens, if the SPDY library
// takes such a number.
func (s *inboxes) open(id uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id < s.next || id > 1<<31-1 || s.ended {
		return
	}
	s.next = id + 2
	in := &inbox{set: s, id: id}
	in.ready.L = &s.mu
	s.streams[id] = in
}

// of is the inbox of a stream, nil if it has none.
func (s *inboxes) of(id uint32) *inbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams[id]
}

// end ends all of them.
func (s *inboxes) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for _, in := range s.streams {
		in.remove()
	}
}

// put gives an inbox data, as there is room. One goroutine may at a time.
func (in *inbox) put(data [][]byte) {
	s := in.set
	s.mu.Lock()
	defer s.mu.Unlock()
	written := in.pass(data)
	for _, d := range data {
		if written >= len(d) {
			written -= len(d)
			continue
		}
		d, written = d[written:], 0
		for len(d) > 0 {
			for !in.ended && (len(in.pieces) >= inboxLimit || s.waiting >= inboxesLimit) {
				s.room.Wait()
			}
			if in.ended {
				return
			}
			d = d[in.add(d):]
		}
	}
}

// add keeps what fits into a piece.
func (in *inbox) add(data []byte) int {
	if n := len(in.pieces); n > 0 {
		if last := in.pieces[n-1]; last.end < pieceSize { // small frames come together
			n := copy(last.bytes[last.end:], data)
			last.end += n
			return n
		}
	}
	p := newPiece()
	p.end = copy(p.bytes[:], data)
	in.pieces = append(in.pieces, p)
	in.set.waiting++
	in.ready.Signal()
	return p.end
}

// pass writes data, or its beginning, for a reader who waits for it, which
// costs less than to wake it. The lock is held, but not meanwhile. After an
// error all is written; what comes before the reader has seen the error is not
// for its writer any more.
func (in *inbox) pass(data [][]byte) int {
	to := in.idle
	if to == nil || len(in.pieces) > 0 || in.ended || in.failed != nil {
		return 0
	}
	in.set.mu.Unlock()
	n, err := to.TryWrite(data)
	in.set.mu.Lock()
	if err != nil {
		in.failed = err
		in.ready.Signal()
		return math.MaxInt
	}
	return n
}

// finish has a stream's reads end when everything has been read.
func (s *inboxes) finish(id uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in := s.streams[id]; in != nil {
		in.ended = true
		in.ready.Broadcast()
	}
}

// drop throws away what has come and what comes. Reads end.
func (in *inbox) drop() {
	in.set.mu.Lock()
	defer in.set.mu.Unlock()
	in.remove()
}

func (in *inbox) remove() {
	for _, p := range in.pieces {
		pieces.Put(p)
	}
	in.set.waiting -= len(in.pieces)
	in.pieces, in.ended, in.gone = nil, true, true
	delete(in.set.streams, in.id)
	in.ready.Broadcast()
	in.set.room.Signal()
}

// take waits for the next piece; nil if none comes any more. What comes
// meanwhile may be written to idle, if that is not nil.
func (in *inbox) take(idle eager.Writer) (*piece, error) {
	s := in.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := in.current; p != nil && !in.gone {
		in.current = nil
		return p, nil
	}
	in.idle = idle
	for len(in.pieces) == 0 && !in.ended && in.failed == nil {
		in.ready.Wait()
	}
	in.idle = nil
	if err := in.failed; err != nil {
		in.failed = nil
		return nil, err
	}
	if len(in.pieces) == 0 {
		return nil, io.EOF
	}
	p := in.pieces[0]
	in.pieces[0] = nil
	in.pieces = in.pieces[1:]
	s.waiting--
	s.room.Signal()
	return p, nil
}

// Read implements io.Reader; one goroutine may at a time.
func (in *inbox) Read(to []byte) (int, error) {
	p, err := in.take(nil)
	if err != nil {
		return 0, err
	}
	n := copy(to, p.bytes[p.begin:p.end])
	if p.begin += n; p.begin < p.end {
		in.current = p
	} else {
		pieces.Put(p)
	}
	return n, nil
}

// WriteTo implements io.WriterTo. It saves a copy; and with an eager.Writer,
// which nobody else may write to, it mostly sleeps. What is written then
// does not count.
func (in *inbox) WriteTo(to io.Writer) (written int64, err error) {
	idle, _ := to.(eager.Writer)
	for {
		p, err := in.take(idle)
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		n, err := to.Write(p.bytes[p.begin:p.end])
		pieces.Put(p)
		if written += int64(n); err != nil {
			return written, err
		}
	}
}
