package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"

	"github.com/trivet-cri/trivet/internal/telemetry"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/forward"
)

// farewell is how long a failed connection's client may take to close it.
const farewell = 10 * time.Second

// forwardSPDY serves a port-forward session over SPDY: any number of
// connections, each a pair of streams for data and for its error.
//
// The library's own server resets a failed connection's streams at once. A
// client then often learns of the reset while it still opens them, and not
// why; and it leaves a goroutine behind for a stream that comes too late. So
// this side of the protocol is ours.
func (s *Server) forwardSPDY(c *client, r *streamerv1.PreparePortForwardRequest, upgrade func(*client) (*wire, error)) {
	wire, err := upgrade(c)
	if err != nil {
		c.note(err) // the client has been told
		return
	}
	f := &spdyForward{server: s, client: c, request: r, pairs: make(map[string]*pair)}
	conn, err := serveSPDY(c, wire, f.accept)
	if err != nil {
		c.note(err)
		return
	}
	<-c.ctx.Done()
	c.note(context.Cause(c.ctx))
	f.abandon()
	conn.close()
}

// directly carries SPDY on the connection itself.
func directly(c *client) (*wire, error) {
	conn, _, err := upgradeSPDY(c, portforward.SupportedProtocols)
	return conn, err
}

// spdyForward is one session.
type spdyForward struct {
	server  *Server
	client  *client
	request *streamerv1.PreparePortForwardRequest

	mu    sync.Mutex
	pairs map[string]*pair // of which one stream has come, by request id
	ended bool
}

// accept is called for each new stream. It must not block: frames of others
// are behind it. An error resets the stream.
func (f *spdyForward) accept(conn *spdyConn, stream *spdyStream) error {
	port, err := strconv.ParseUint(stream.Headers().Get(portforward.PortHeader), 10, 16)
	if err != nil || port == 0 {
		return fmt.Errorf("header %q is %q, not a port", portforward.PortHeader, stream.Headers().Get(portforward.PortHeader))
	}
	kind := stream.Headers().Get(portforward.StreamType)
	if kind != portforward.StreamTypeData && kind != portforward.StreamTypeError {
		return fmt.Errorf("header %q is %q", portforward.StreamType, kind)
	}
	id := requestID(stream)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return errGone
	}
	p := f.pairs[id]
	if p == nil {
		p = &pair{port: int32(port), come: make(chan struct{})}
		p.creationExpiry = time.AfterFunc(f.server.config.CreationTimeout, func() { f.expire(conn, id, p) })
		f.pairs[id] = p
		f.client.background(func() { f.serve(conn, p) })
	}
	if err := p.add(stream, kind, int32(port)); err != nil {
		return err
	}
	if p.data != nil && p.failure != nil {
		p.creationExpiry.Stop()
		delete(f.pairs, id)
		close(p.come)
	}
	return nil
}

// expire gives up a connection whose other stream has not come.
func (f *spdyForward) expire(conn *spdyConn, id string, p *pair) {
	f.mu.Lock()
	late := f.pairs[id] == p
	if late {
		delete(f.pairs, id)
		p.giveUp()
	}
	f.mu.Unlock()
	for _, stream := range []*spdyStream{p.data, p.failure} {
		if late && stream != nil {
			conn.drop(stream)
		}
	}
}

// abandon ends the waiting for streams.
func (f *spdyForward) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	for id, p := range f.pairs {
		p.creationExpiry.Stop()
		delete(f.pairs, id)
		p.giveUp()
	}
}

// serve forwards one connection and tells its client how it ended. The port is
// connected to while the client still opens the other stream.
func (f *spdyForward) serve(conn *spdyConn, p *pair) {
	ctx := f.client.ctx
	client := forward.Stream{ReadWriteCloser: f.client.session.Connection(p), HalfClose: true, Abort: p.abort}
	if conn.wire.splices() {
		client.Splice = func(pod *net.TCPConn) error { return p.splice(pod, f.client.session.Sent) }
	}
	err := f.server.handlers.Forward.Forward(ctx, f.request, p.port, client)
	if p.await() != nil {
		return
	}
	defer conn.drop(p.data, p.failure)
	if err != nil && ctx.Err() == nil {
		f.server.log.DebugContext(ctx, "forwarded connection failed", telemetry.PodID, f.request.GetPodId(), "port", p.port, "error", err)
		_, _ = io.WriteString(p.failure, forwardFailure(f.request, p.port, err))
	}
	_ = p.failure.Close()
	_ = p.data.Close()
	// What the client still sends is in the way of other connections' frames.
	late := time.AfterFunc(farewell, func() { _ = p.data.Reset() })
	defer late.Stop()
	_, _ = io.Copy(io.Discard, p.data)
}
