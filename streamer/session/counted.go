package session

import (
	"io"

	"github.com/trivet-cri/trivet/streamer/eager"
)

// Reader counts what is read of r, a client's stream, as traffic in. It is an
// io.WriterTo if r is.
func (s *Session) Reader(r io.Reader) io.Reader {
	if from, ok := r.(io.WriterTo); ok {
		return pushingReader{reader{r, s}, pushed{from, s}}
	}
	return reader{r, s}
}

// Writer counts what is written to w, a client's stream, as traffic out.
func (s *Session) Writer(w io.Writer) io.Writer { return writer{w, s} }

// Connection counts a connection and what is read of and written to its
// stream. It is an io.WriterTo if the stream is.
func (s *Session) Connection(stream io.ReadWriteCloser) io.ReadWriteCloser {
	s.connections.Add(1)
	c := connection{reader{stream, s}, writer{stream, s}, stream}
	if from, ok := stream.(io.WriterTo); ok {
		return pushing{c, pushed{from, s}}
	}
	return c
}

type reader struct {
	io.Reader
	session *Session
}

func (r reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.session.in.Add(int64(n))
	return n, err
}

type writer struct {
	io.Writer
	session *Session
}

func (w writer) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.session.out.Add(int64(n))
	return n, err
}

type connection struct {
	reader
	writer
	io.Closer
}

// pushing is a connection of a stream that writes what it has itself.
type pushing struct {
	connection
	pushed
}

// pushingReader is such a reader.
type pushingReader struct {
	reader
	pushed
}

// pushed counts as traffic in what a stream writes.
type pushed struct {
	from io.WriterTo
	to   *Session
}

func (p pushed) WriteTo(w io.Writer) (int64, error) {
	counted := received{w, p.to}
	if to, ok := w.(eager.Writer); ok {
		return p.from.WriteTo(eagerlyReceived{counted, to})
	}
	return p.from.WriteTo(counted)
}

// received counts as traffic in what is written to it.
type received struct {
	io.Writer
	session *Session
}

func (r received) Write(p []byte) (int, error) {
	n, err := r.Writer.Write(p)
	r.session.in.Add(int64(n))
	return n, err
}

// eagerlyReceived is received of an eager.Writer.
type eagerlyReceived struct {
	received
	to eager.Writer
}

func (r eagerlyReceived) TryWrite(data [][]byte) (int, error) {
	n, err := r.to.TryWrite(data)
	r.session.in.Add(int64(n))
	return n, err
}
