package server

import (
	"encoding/binary"
	"net"
	"sync"
)

const (
	// worthCopying is up to what size, in bytes, a copy costs less than a
	// write of several pieces.
	worthCopying = 1 << 10
	// dataLimit is what a data frame can have, in bytes.
	dataLimit = 1<<24 - 1
)

// gatherer writes each SPDY frame at once. The library writes a frame in
// pieces of some bytes, and each would be a system call and a packet, or a
// TLS record.
type gatherer struct {
	conn  net.Conn
	begun []byte // the library's frame that is not complete yet

	sending sync.Mutex
	frame   []byte // of data, under way
}

// Write keeps p until the frame is complete. A piece never spans frames, and
// one of them ends with the header. One goroutine may write at a time; the
// library sees to it.
func (g *gatherer) Write(p []byte) (int, error) {
	if !g.completes(p) {
		g.begun = append(g.begun, p...)
		return len(p), nil
	}
	g.sending.Lock()
	defer g.sending.Unlock()
	var err error
	g.begun, err = g.send(g.begun, p)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// data writes p as data frames of a stream; any number of goroutines may.
func (g *gatherer) data(stream uint32, p []byte) (written int, err error) {
	g.sending.Lock()
	defer g.sending.Unlock()
	for written < len(p) {
		piece := p[written:min(len(p), written+dataLimit)]
		g.frame = binary.BigEndian.AppendUint32(g.frame, stream)
		g.frame = binary.BigEndian.AppendUint32(g.frame, uint32(len(piece)))
		if g.frame, err = g.send(g.frame, piece); err != nil {
			return written, err
		}
		written += len(piece)
	}
	return written, nil
}

// send writes begun and p, and returns what can be used for the next.
func (g *gatherer) send(begun, p []byte) ([]byte, error) {
	if _, ok := g.conn.(*net.TCPConn); !ok || len(p) <= worthCopying {
		begun = append(begun, p...)
		_, err := g.conn.Write(begun)
		return begun[:0], err
	}
	both := net.Buffers{begun, p}
	_, err := both.WriteTo(g.conn)
	return begun[:0], err
}

// completes tells whether the frame ends with p.
func (g *gatherer) completes(p []byte) bool {
	have := len(g.begun) + len(p)
	if have < frameHeader {
		return false
	}
	header := g.begun
	if len(header) < frameHeader {
		header = append(header, p...)
	}
	length := binary.BigEndian.Uint32(header[frameHeader-4:]) & 0xffffff
	return have >= frameHeader+int(length)
}
