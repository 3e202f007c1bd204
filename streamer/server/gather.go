package server

import (
	"encoding/binary"
	"net"
)

const (
	// frameHeader is how long the header of a SPDY frame is, in bytes. Its
	// last three are the length of what follows.
	frameHeader = 8
	// worthCopying is up to what size, in bytes, a copy costs less than a
	// write of several pieces.
	worthCopying = 1 << 10
)

// gatherer writes each SPDY frame at once. The library writes a frame in
// pieces of some bytes, and each would be a system call and a packet, or a
// TLS record. One goroutine may write at a time; the library sees to it.
type gatherer struct {
	conn  net.Conn
	begun []byte // the frame that is not complete yet
}

// Write keeps p until the frame is complete. A piece never spans frames, and
// one of them ends with the header.
func (g *gatherer) Write(p []byte) (int, error) {
	if !g.completes(p) {
		g.begun = append(g.begun, p...)
		return len(p), nil
	}
	err := g.flush(p)
	g.begun = g.begun[:0]
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// flush writes what was kept, and p.
func (g *gatherer) flush(p []byte) error {
	if _, ok := g.conn.(*net.TCPConn); !ok || len(p) <= worthCopying {
		g.begun = append(g.begun, p...)
		_, err := g.conn.Write(g.begun)
		return err
	}
	pieces := net.Buffers{g.begun, p}
	_, err := pieces.WriteTo(g.conn)
	return err
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
