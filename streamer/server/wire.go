package server

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
)

// What is known here of SPDY's frames.
const (
	// frameHeader is how long the header of a frame is, in bytes. Its last
	// three are the length of what follows.
	frameHeader = 8
	// controlBit, of the first byte, tells control frames from those of data.
	controlBit = 0x80
	// finFlag, of a data frame or what opens a stream, ends this direction.
	finFlag = 1
	// synStream and rstStream are control frames that begin with a stream's
	// number. They have at least, and exactly, so many bytes.
	synStream, synStreamSize = 1, 10
	rstStream, rstStreamSize = 3, 8
	// gathered is of how many frames data is delivered together.
	gathered = 64
)

var errBadFrame = errors.New("control frame has a wrong size")

// wire is the connection below a SPDY session. Control frames go to the SPDY
// library; data does not: it would be copied more often, to memory that is not
// used again, and wake three goroutines for a frame.
type wire struct {
	net.Conn
	from    intake
	to      gatherer
	inboxes *inboxes
	active  func() // called when bytes have moved
	// halfClose tells the client that no more comes. The connection itself
	// is closed when its session has ended.
	halfClose func() error

	head  []byte // read, and not given to the library yet
	body  int    // bytes that follow the head as they are
	bytes [frameHeader + 4]byte
	// data is what of the intake is for an inbox, and not there yet.
	data [][]byte
	into *inbox
}

func newWire(conn net.Conn, from io.Reader, c *client) *wire {
	raw := conn
	if w, ok := conn.(*watched); ok {
		raw = w.Conn
	}
	return &wire{Conn: conn, from: intake{from: from, active: c.active}, to: gatherer{conn: raw}, inboxes: newInboxes(), data: make([][]byte, 0, gathered), active: c.active, halfClose: c.response.closeWrite}
}

// Read reads what the library is to have, and meanwhile fills inboxes.
func (w *wire) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(w.head) == 0 && w.body == 0 {
		if err := w.next(); err != nil {
			return 0, err
		}
	}
	if len(w.head) > 0 {
		n := copy(p, w.head)
		w.head = w.head[n:]
		return n, nil
	}
	if err := w.more(1); err != nil {
		return 0, err
	}
	n := copy(p, w.from.take(min(len(p), w.body, w.from.len())))
	w.body -= n
	return n, nil
}

// next reads a data frame, or the head of a control frame.
func (w *wire) next() error {
	header := w.bytes[:frameHeader]
	if err := w.more(len(header)); err != nil {
		return err
	}
	copy(header, w.from.take(len(header)))
	size := int(binary.BigEndian.Uint32(header[4:]) & 0xffffff)
	if header[0]&controlBit == 0 {
		return w.frame(header, size)
	}
	w.deliver()
	kind := binary.BigEndian.Uint16(header[2:])
	if kind != synStream && kind != rstStream {
		w.head, w.body = header, size
		return nil
	}
	if kind == synStream && size < synStreamSize || kind == rstStream && size != rstStreamSize {
		return errBadFrame
	}
	if err := w.more(4); err != nil {
		return err
	}
	copy(w.bytes[frameHeader:], w.from.take(4))
	w.head, w.body = w.bytes[:], size-4
	id := binary.BigEndian.Uint32(w.bytes[frameHeader:])
	if kind == synStream {
		w.inboxes.open(id)
	}
	if ends := kind == rstStream || header[4]&finFlag != 0; ends {
		w.inboxes.finish(id)
	}
	return nil
}

// frame takes a data frame for its stream's inbox. The library, which keeps
// the state of streams, gets to see ends, and frames of other streams, empty.
func (w *wire) frame(header []byte, size int) error {
	id := binary.BigEndian.Uint32(header)
	in := w.inboxes.of(id)
	if in != w.into {
		w.deliver()
		w.into = in
	}
	for size > 0 {
		// Nobody is woken for less than a frame, if it can be kept.
		if need := size; len(w.data) == 0 && w.from.fits(need) {
			if err := w.more(need); err != nil {
				return err
			}
		} else if w.from.len() == 0 {
			if err := w.more(1); err != nil {
				return err
			}
		}
		p := w.from.take(min(size, w.from.len()))
		size -= len(p)
		if in == nil {
			continue
		}
		if w.data = append(w.data, p); len(w.data) == cap(w.data) {
			w.deliver()
		}
	}
	flags := header[4]
	if in != nil && flags&finFlag == 0 {
		return nil
	}
	w.deliver()
	if flags&finFlag != 0 {
		w.inboxes.finish(id)
	}
	binary.BigEndian.PutUint32(header[4:], uint32(flags)<<24)
	w.head = header
	return nil
}

// more has n bytes in the intake. What was taken of it may have to be
// delivered for that.
func (w *wire) more(n int) error {
	if w.from.len() >= n {
		return nil
	}
	w.deliver()
	return w.from.more(n)
}

// deliver puts into its inbox what was taken for it, and forgets it: the
// intake may part with its buffer.
func (w *wire) deliver() {
	if len(w.data) > 0 {
		w.into.put(w.data)
		clear(w.data)
		w.data = w.data[:0]
	}
}

// Write implements io.Writer, for the library; one goroutine may at a time.
func (w *wire) Write(p []byte) (int, error) {
	w.active()
	return w.to.Write(p)
}

// send writes data of a stream; any number of goroutines may.
func (w *wire) send(stream uint32, p []byte) (int, error) {
	w.active()
	return w.to.data(stream, p)
}

// Close implements io.Closer. With an error the library would wait for
// somebody to handle it.
func (w *wire) Close() error {
	_ = w.halfClose()
	return nil
}
