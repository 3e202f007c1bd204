package server

import (
	"io"

	"github.com/moby/spdystream"
)

// spdyStream is a stream whose data does not go through the library.
type spdyStream struct {
	*spdystream.Stream
	wire *wire
	in   *inbox
}

// Read implements io.Reader; one goroutine may at a time.
func (s *spdyStream) Read(p []byte) (int, error) { return s.in.Read(p) }

// WriteTo implements io.WriterTo, in the place of Read.
func (s *spdyStream) WriteTo(to io.Writer) (int64, error) { return s.in.WriteTo(to) }

// Write implements io.Writer.
func (s *spdyStream) Write(p []byte) (int, error) { return s.wire.send(s.Identifier(), p) }

// Reset ends the stream both ways, and reads of it.
func (s *spdyStream) Reset() error {
	if s.in != nil {
		s.in.drop()
	}
	return s.Stream.Reset()
}
