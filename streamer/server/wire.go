package server

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
)

const (
	// frameLimit, in bytes, is the size of data frames that the SPDY library
	// gets to see. It keeps up to 250 of a connection.
	frameLimit = 64 << 10
	// finFlag of a data frame ends its stream.
	finFlag = 1
)

// wire is the connection below a SPDY session. It splits data frames: a
// client may send some of 16 MB, which would fill the memory.
type wire struct {
	net.Conn
	from   io.Reader
	to     gatherer
	active func() // called when bytes have moved
	// halfClose tells the client that no more comes. The connection itself
	// is closed when its session has ended.
	halfClose func() error

	head []byte // read, or made, and not given on yet
	body int    // bytes that follow the head as they are
	rest int    // bytes of the data frame that go into further frames
	last [frameHeader]byte
}

func newWire(conn net.Conn, from io.Reader, c *client) *wire {
	raw := conn
	if w, ok := conn.(*watched); ok {
		raw = w.Conn
	}
	return &wire{Conn: conn, from: from, to: gatherer{conn: raw}, active: c.active, halfClose: c.response.closeWrite}
}

// Read implements io.Reader.
func (w *wire) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(w.head) == 0 && w.body == 0 {
		if err := w.next(); err != nil {
			return 0, err
		}
	}
	w.active()
	if len(w.head) > 0 {
		n := copy(p, w.head)
		w.head = w.head[n:]
		return n, nil
	}
	n, err := w.from.Read(p[:min(len(p), w.body)])
	w.body -= n
	return n, err
}

// next makes the head of the next frame, or piece of a frame.
func (w *wire) next() error {
	if w.rest == 0 {
		if _, err := io.ReadFull(w.from, w.last[:]); err != nil {
			return err
		}
		size := bodySize(w.last[:])
		if control := w.last[0]&0x80 != 0; control || size <= frameLimit {
			w.head, w.body = w.last[:], size
			return nil
		}
		w.rest = size
	}
	w.body = min(w.rest, frameLimit)
	w.rest -= w.body
	w.head = slices.Clone(w.last[:])
	binary.BigEndian.PutUint32(w.head[4:], uint32(w.body))
	if w.rest == 0 {
		w.head[4] = w.last[4] // the flags: its end is that of the whole
	} else {
		w.head[4] = w.last[4] &^ finFlag
	}
	return nil
}

// Write implements io.Writer; one goroutine may at a time.
func (w *wire) Write(p []byte) (int, error) {
	w.active()
	return w.to.Write(p)
}

// bodySize is what a frame's head says.
func bodySize(head []byte) int {
	return int(binary.BigEndian.Uint32(head[4:]) & 0xffffff)
}

// Close implements io.Closer. With an error the library would wait for
// somebody to handle it.
func (w *wire) Close() error {
	_ = w.halfClose()
	return nil
}
