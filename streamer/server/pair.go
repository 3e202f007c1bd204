package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
)

// errAlone is what becomes of a connection whose other stream does not come.
var errAlone = errors.New("the client has not opened both streams")

// pair are the two streams of a forwarded connection. It is begun with the
// first of them, and waits for the other when it is used.
type pair struct {
	port           int32
	creationExpiry *time.Timer
	data, failure  *spdyStream
	alone          bool
	come           chan struct{} // closed when the above does not change any more
}

func (p *pair) add(stream *spdyStream, kind string, port int32) error {
	into := &p.data
	if kind == portforward.StreamTypeError {
		into = &p.failure
	}
	if *into != nil {
		return errors.New("the connection has such a stream")
	}
	if port != p.port {
		return fmt.Errorf("streams of one connection are for ports %d and %d", p.port, port)
	}
	*into = stream
	return nil
}

// giveUp ends the wait for the other stream.
func (p *pair) giveUp() {
	p.alone = true
	close(p.come)
}

// await waits for both streams.
func (p *pair) await() error {
	<-p.come
	if p.alone {
		return errAlone
	}
	return nil
}

// Read implements io.Reader, of what the client sends.
func (p *pair) Read(to []byte) (int, error) {
	if err := p.await(); err != nil {
		return 0, err
	}
	return p.data.Read(to)
}

// WriteTo implements io.WriterTo.
func (p *pair) WriteTo(to io.Writer) (int64, error) {
	if err := p.await(); err != nil {
		return 0, err
	}
	return p.data.WriteTo(to)
}

// Write implements io.Writer, to the client.
func (p *pair) Write(from []byte) (int, error) {
	if err := p.await(); err != nil {
		return 0, err
	}
	return p.data.Write(from)
}

// splice sends what comes from a pod to the client: see wire.
func (p *pair) splice(pod *net.TCPConn, moved func(int)) error {
	if err := p.await(); err != nil {
		return err
	}
	return p.data.wire.splice(p.data.Identifier(), pod, moved)
}

// Close implements io.Closer: no more goes to the client.
func (p *pair) Close() error {
	if err := p.await(); err != nil {
		return err
	}
	return p.data.Close()
}

// abort makes reads return.
func (p *pair) abort() {
	if p.await() == nil {
		_ = p.data.Reset()
	}
}

// requestID tells which streams belong together. Old clients do not say; they
// open the error stream and then the data stream, two numbers later.
func requestID(stream *spdyStream) string {
	if id := stream.Headers().Get(portforward.PortForwardRequestIDHeader); id != "" {
		return id
	}
	id := int64(stream.Identifier())
	if stream.Headers().Get(portforward.StreamType) == portforward.StreamTypeData {
		id -= 2
	}
	return "stream " + strconv.FormatInt(id, 10)
}
