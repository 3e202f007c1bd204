package server

import (
	"io"
	"net"
)

// Gather is the writer that makes one write of each SPDY frame.
func Gather(conn net.Conn) io.Writer { return &gatherer{conn: conn} }

// Split is the reader that makes several of each big SPDY data frame.
func Split(from io.Reader) io.Reader { return &wire{from: from, active: func() {}} }

// FrameLimit is how big those become.
const FrameLimit = frameLimit
