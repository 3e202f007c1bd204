package server

import (
	"io"
	"sync"
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

// put gives an inbox a piece, when there is room.
func (in *inbox) put(p *piece) {
	s := in.set
	s.mu.Lock()
	defer s.mu.Unlock()
	for !in.ended && (len(in.pieces) >= inboxLimit || s.waiting >= inboxesLimit) {
		s.room.Wait()
	}
	if in.ended {
		pieces.Put(p)
		return
	}
	if n := len(in.pieces); n > 0 {
		if last := in.pieces[n-1]; last.end+p.end <= pieceSize { // small frames come together
			last.end += copy(last.bytes[last.end:], p.bytes[:p.end])
			pieces.Put(p)
			return
		}
	}
	in.pieces = append(in.pieces, p)
	s.waiting++
	in.ready.Signal()
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

// take waits for the next piece; nil if none comes any more.
func (in *inbox) take() *piece {
	s := in.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := in.current; p != nil && !in.gone {
		in.current = nil
		return p
	}
	for len(in.pieces) == 0 && !in.ended {
		in.ready.Wait()
	}
	if len(in.pieces) == 0 {
		return nil
	}
	p := in.pieces[0]
	in.pieces[0] = nil
	in.pieces = in.pieces[1:]
	s.waiting--
	s.room.Signal()
	return p
}

// Read implements io.Reader; one goroutine may at a time.
func (in *inbox) Read(to []byte) (int, error) {
	p := in.take()
	if p == nil {
		return 0, io.EOF
	}
	n := copy(to, p.bytes[p.begin:p.end])
	if p.begin += n; p.begin < p.end {
		in.current = p
	} else {
		pieces.Put(p)
	}
	return n, nil
}

// WriteTo implements io.WriterTo. It is what saves a copy.
func (in *inbox) WriteTo(to io.Writer) (written int64, err error) {
	for {
		p := in.take()
		if p == nil {
			return written, nil
		}
		var n int
		n, err = to.Write(p.bytes[p.begin:p.end])
		pieces.Put(p)
		if written += int64(n); err != nil {
			return written, err
		}
	}
}
