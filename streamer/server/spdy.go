package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/moby/spdystream"
	"github.com/moby/spdystream/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// spdyProtocol is what a client upgrades to.
const spdyProtocol = "SPDY/3.1"

// What a client may send to open a stream. Kubernetes' have three headers.
const (
	streamHeaders     = 32
	streamHeaderSize  = 4 << 10  // bytes, of a name or a value
	controlFrameLimit = 64 << 10 // bytes
	// streamLimit is how many may be open in one session.
	streamLimit = 4096
)

// spdyConn is the server's side of a SPDY connection. The library leaves
// some things open that a client can get wrong on purpose; it is made here
// that no stream is without an owner, and none can be waited on for ever:
// a stream is replied to before anybody has it, and reset when its owner or
// the connection is done with it.
type spdyConn struct {
	inner  *spdystream.Connection
	wire   *wire
	accept func(*spdyConn, *spdyStream) error

	mu      sync.Mutex
	streams map[*spdyStream]struct{}
	ended   bool
}

// upgradeSPDY takes the connection over for one of the protocols. Error: the
// client has been told.
func upgradeSPDY(c *client, protocols []string) (conn *wire, protocol string, err error) {
	if protocol, err = httpstream.Handshake(c.request, c.response, protocols); err != nil {
		return nil, "", err
	}
	if !strings.EqualFold(c.request.Header.Get(httpstream.HeaderUpgrade), spdyProtocol) {
		err = fmt.Errorf("upgrade to %q is not known; known are %s and websocket", c.request.Header.Get(httpstream.HeaderUpgrade), spdyProtocol)
		http.Error(c.response, err.Error(), http.StatusBadRequest)
		return nil, "", err
	}
	header := c.response.Header()
	header.Set(httpstream.HeaderConnection, httpstream.HeaderUpgrade)
	header.Set(httpstream.HeaderUpgrade, spdyProtocol)
	c.response.WriteHeader(http.StatusSwitchingProtocols)
	taken, _, err := c.response.Hijack()
	if err != nil {
		return nil, "", err
	}
	c.session.Agreed(protocol)
	var from io.Reader = taken
	if w, ok := taken.(*watched); ok {
		from = w.reader()
	}
	return newWire(taken, from, c), protocol, nil
}

// serveSPDY serves SPDY on conn until close. accept is called for each new
// stream, from several goroutines. It must not block: frames of others are
// behind it. An error resets the stream.
func serveSPDY(c *client, conn *wire, accept func(*spdyConn, *spdyStream) error) (*spdyConn, error) {
	inner, err := spdystream.NewConnectionWithOptions(conn, true,
		spdy.WithMaxHeaderCount(streamHeaders), spdy.WithMaxHeaderFieldSize(streamHeaderSize),
		spdy.WithMaxControlFramePayloadSize(controlFrameLimit))
	if err != nil {
		return nil, fmt.Errorf("begin SPDY: %w", err)
	}
	s := &spdyConn{inner: inner, wire: conn, accept: accept, streams: make(map[*spdyStream]struct{})}
	c.background(func() { inner.Serve(s.begin) })
	c.background(func() {
		<-inner.CloseChan()
		c.response.lost(errGone)
		// The library ends reads only when all frames have been taken, and
		// nobody may take them.
		s.close()
	})
	return s, nil
}

// begin is called for each stream that the client opens.
func (s *spdyConn) begin(opened *spdystream.Stream) {
	stream := &spdyStream{Stream: opened, wire: s.wire, in: s.wire.inboxes.of(opened.Identifier())}
	err := s.add(stream)
	if err == nil {
		// A stream without a reply would block its writers for ever.
		err = stream.SendReply(http.Header{}, false)
	}
	if err == nil {
		err = s.accept(s, stream)
	}
	if err != nil {
		s.drop(stream)
	}
}

func (s *spdyConn) add(stream *spdyStream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || stream.in == nil {
		return errGone
	}
	if len(s.streams) >= streamLimit {
		return fmt.Errorf("more than %d streams are open", streamLimit)
	}
	s.streams[stream] = struct{}{}
	return nil
}

// drop resets streams, unless both sides have ended them, and forgets them.
func (s *spdyConn) drop(streams ...*spdyStream) {
	s.mu.Lock()
	for _, stream := range streams {
		delete(s.streams, stream)
	}
	s.mu.Unlock()
	for _, stream := range streams {
		_ = stream.Reset()
	}
}

// close resets all streams, says farewell and closes the connection.
func (s *spdyConn) close() {
	s.mu.Lock()
	s.ended = true
	open := s.streams
	s.streams = nil
	s.mu.Unlock()
	s.wire.inboxes.end()
	for stream := range open {
		_ = stream.Reset()
	}
	_ = s.inner.Close()
}
