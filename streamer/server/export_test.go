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

// WireOf makes one that writes to a client.
func WireOf(conn net.Conn) Wire {
	return Wire{&wire{to: gatherer{conn: conn}, active: func() {}}}
}

// Splice sends what comes from a pod.
func (w Wire) Splice(stream uint32, pod *net.TCPConn, moved func(int)) error {
	return w.splice(stream, pod, moved)
}

// Send sends data.
func (w Wire) Send(stream uint32, data []byte) (int, error) { return w.send(stream, data) }

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

// Gathered is of how many frames data is delivered together.
const Gathered = gathered

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

// Forgets tells whether it has no part of its buffer any more.
func (w Wire) Forgets() bool {
	for _, d := range w.data[:cap(w.data)] {
		if d != nil {
			return false
		}
	}
	return true
}

// Late is the best reader of a connection from which some bytes had been read
// when it was taken over.
func Late(conn net.Conn, early []byte) io.Reader {
	return (&watched{Conn: conn, early: early, lost: func() {}}).reader()
}

// Intake buffers what comes on a connection.
type Intake struct{ intake }

// NewIntake makes one; active is called when bytes have come.
func NewIntake(from io.Reader, active func()) *Intake {
	return &Intake{intake{from: from, active: active}}
}

// More has n bytes at least, if that many fit.
func (i *Intake) More(n int) (fits bool, err error) {
	if fits = i.fits(n); fits {
		err = i.more(n)
	}
	return fits, err
}

// Take returns the next n bytes; Len is how many there are.
func (i *Intake) Take(n int) []byte { return i.take(n) }

// Len is how many bytes can be taken.
func (i *Intake) Len() int { return i.len() }

// Large tells whether it has a large buffer.
func (i *Intake) Large() bool { return i.large != nil }

// SmallIntake and LargeIntake are the sizes of its buffers.
const SmallIntake, LargeIntake = smallIntake, largeIntake
