package server

import (
	"io"
	"net"
)

// Gather is the writer that makes one write of each SPDY frame.
func Gather(conn net.Conn) io.Writer { return &gatherer{conn: conn} }

// Wire is what the SPDY library reads, of what comes from a client.
type Wire struct{ *wire }

// NewWire makes one.
func NewWire(from io.Reader) Wire {
	return Wire{&wire{from: intake{from: from, active: func() {}}, inboxes: newInboxes(), data: make([][]byte, 0, gathered), active: func() {}}}
}

// Inbox has a stream's data; nil if there is none.
func (w Wire) Inbox(stream uint32) io.ReadCloser {
	if in := w.inboxes.of(stream); in != nil {
		return inboxCloser{in}
	}
	return nil
}

// Finish says that no more comes for a stream.
func (w Wire) Finish(stream uint32) { w.inboxes.finish(stream) }

// Waiting is how many pieces are in inboxes.
func (w Wire) Waiting() int {
	w.inboxes.mu.Lock()
	defer w.inboxes.mu.Unlock()
	return w.inboxes.waiting
}

// End ends all inboxes.
func (w Wire) End() { w.inboxes.end() }

type inboxCloser struct{ *inbox }

func (in inboxCloser) Close() error { in.drop(); return nil }

// PieceSize is how much one piece of an inbox has.
const PieceSize = pieceSize

// InboxLimit is how many wait for a stream's reader.
const InboxLimit = inboxLimit

// ErrBadFrame ends a session.
var ErrBadFrame = errBadFrame

// Idle tells whether a stream's reader waits, and may be written for.
func (w Wire) Idle(stream uint32) bool {
	in := w.inboxes.of(stream)
	w.inboxes.mu.Lock()
	defer w.inboxes.mu.Unlock()
	return in.idle != nil
}
