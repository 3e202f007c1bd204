package session

import "io"

// Reader counts what is read of r, a client's stream, as traffic in.
func (s *Session) Reader(r io.Reader) io.Reader { return reader{r, s} }

// Writer counts what is written to w, a client's stream, as traffic out.
func (s *Session) Writer(w io.Writer) io.Writer { return writer{w, s} }

// Connection counts a connection and what is read of and written to its
// stream.
func (s *Session) Connection(stream io.ReadWriteCloser) io.ReadWriteCloser {
	s.connections.Add(1)
	return connection{reader{stream, s}, writer{stream, s}, stream}
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
