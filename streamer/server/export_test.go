package server

import (
	"io"
	"net"
)

// Gather is the writer that makes one write of each SPDY frame.
func Gather(conn net.Conn) io.Writer { return &gatherer{conn: conn} }
