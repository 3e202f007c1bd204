package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"k8s.io/streaming/pkg/httpstream"
)

// Forward is one port-forward session, which carries connections to ports of
// a pod.
type Forward interface {
	// Dial opens a connection to a port. Over WebSocket it is the one that
	// the URL was asked for, and can be dialled once.
	Dial(port int32) (Conn, error)
	io.Closer
}

// Conn is a forwarded connection.
type Conn interface {
	io.ReadWriteCloser
	// CloseWrite ends the sending direction, where the transport can.
	CloseWrite() error
	// Err waits for the server's error for this connection; nil if none.
	Err() error
}

// OpenForward connects to a port-forward URL. port is the pod's port.
func OpenForward(ctx context.Context, transport Transport, url string, port int32) (Forward, error) {
	switch transport {
	case SPDY:
		conn, err := dialSPDY(ctx, url, "portforward.k8s.io")
		if err != nil {
			return nil, fmt.Errorf("port-forward over spdy: %w", err)
		}
		return &spdyForward{conn: conn}, nil
	case WebSocket:
		conn, err := dialWebSocket(ctx, fmt.Sprintf("%s?port=%d", url, port), "v4.channel.k8s.io")
		if err != nil {
			return nil, fmt.Errorf("port-forward over websocket: %w", err)
		}
		return &webSocketForward{conn: conn, port: port}, nil
	}
	return nil, fmt.Errorf("unknown transport %q", transport)
}

type spdyForward struct {
	conn httpstream.Connection
	ids  atomic.Int64
}

func (f *spdyForward) Close() error { return f.conn.Close() }

func (f *spdyForward) Dial(port int32) (Conn, error) {
	headers := http.Header{"Port": {strconv.Itoa(int(port))}, "Requestid": {strconv.FormatInt(f.ids.Add(1), 10)}}
	headers.Set("streamType", "error")
	failed, err := f.conn.CreateStream(headers)
	if err != nil {
		return nil, fmt.Errorf("open error stream: %w", err)
	}
	_ = failed.Close() // nothing is ever written to it
	headers.Set("streamType", "data")
	data, err := f.conn.CreateStream(headers)
	if err != nil {
		return nil, fmt.Errorf("open data stream: %w", err)
	}
	return &spdyConn{Stream: data, failed: failed, forward: f}, nil
}

type spdyConn struct {
	httpstream.Stream
	failed  httpstream.Stream
	forward *spdyForward
}

// CloseWrite half-closes: the stream's Close ends only this side's frames.
func (c *spdyConn) CloseWrite() error { return c.Stream.Close() }

func (c *spdyConn) Close() error {
	defer c.forward.conn.RemoveStreams(c.Stream, c.failed)
	return c.Reset()
}

func (c *spdyConn) Err() error {
	text, err := io.ReadAll(c.failed)
	if err == nil && len(text) > 0 {
		err = errors.New(string(text))
	}
	return err
}

type webSocketForward struct {
	conn *socket
	port int32
	once atomic.Bool
}

func (f *webSocketForward) Close() error { return f.conn.Close() }

func (f *webSocketForward) Dial(port int32) (Conn, error) {
	if port != f.port || f.once.Swap(true) {
		return nil, fmt.Errorf("this session has one connection, to port %d", f.port)
	}
	conn := &webSocketConn{conn: f.conn, ended: make(chan struct{})}
	conn.reader, conn.writer = io.Pipe()
	go conn.receive(port)
	return conn, nil
}

// webSocketConn is the first pair of channels: 0 has data, 1 errors. The
// first message on each has the port.
type webSocketConn struct {
	conn   *socket
	reader *io.PipeReader
	writer *io.PipeWriter
	ended  chan struct{}
	once   sync.Once
	failed []byte // valid after ended
}

func (c *webSocketConn) receive(port int32) {
	defer close(c.ended)
	var greeted [2]bool
	for {
		_, message, err := c.conn.ReadMessage()
		if err != nil {
			_ = c.writer.Close()
			return
		}
		if len(message) == 0 || message[0] > 1 {
			continue
		}
		channel, data := message[0], message[1:]
		if !greeted[channel] {
			greeted[channel] = true
			if len(data) != 2 || binary.LittleEndian.Uint16(data) != uint16(port) {
				_ = c.writer.CloseWithError(fmt.Errorf("channel %d began with %x, not with port %d", channel, data, port))
				return
			}
			continue
		}
		if channel == 1 {
			c.failed = append(c.failed, data...)
		} else if _, err := c.writer.Write(data); err != nil {
			return
		}
	}
}

func (c *webSocketConn) Read(p []byte) (int, error) { return c.reader.Read(p) }

func (c *webSocketConn) Write(p []byte) (int, error) { return channelWriter{c.conn, 0}.Write(p) }

// CloseWrite does nothing: the protocol has no half-close.
func (c *webSocketConn) CloseWrite() error { return nil }

func (c *webSocketConn) Close() error {
	var err error
	c.once.Do(func() {
		_ = c.reader.Close()
		err = c.conn.Close()
	})
	return err
}

func (c *webSocketConn) Err() error {
	<-c.ended
	if len(c.failed) > 0 {
		return errors.New(string(c.failed))
	}
	return nil
}
