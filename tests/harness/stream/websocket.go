package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
)

// The channels of a session; the first byte of each message names one.
const (
	stdinChannel = iota
	stdoutChannel
	stderrChannel
	statusChannel
	resizeChannel
	closeSignal = 255 // v5: the next byte names the channel that ends
)

// protocolV5 adds the half-close of stdin to v4.
const protocolV5 = "v5.channel.k8s.io"

// socket is a WebSocket connection of channels. Sends may be concurrent.
type socket struct {
	*websocket.Conn
	sending sync.Mutex
}

func dialWebSocket(ctx context.Context, url string, protocols ...string) (*socket, error) {
	dialer := websocket.Dialer{Subprotocols: protocols, ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10}
	conn, resp, err := dialer.DialContext(ctx, "ws"+strings.TrimPrefix(url, "http"), nil) //nolint:bodyclose // the library has read and replaced it
	if err != nil {
		if resp != nil {
			text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
			return nil, fmt.Errorf("%w: %s: %s", err, resp.Status, text)
		}
		return nil, err
	}
	return &socket{Conn: conn}, nil
}

// send sends data as one message on a channel.
func (s *socket) send(channel byte, data []byte) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	return s.WriteMessage(websocket.BinaryMessage, append([]byte{channel}, data...))
}

// channelWriter sends what is written to it on one channel.
type channelWriter struct {
	socket  *socket
	channel byte
}

func (w channelWriter) Write(p []byte) (int, error) {
	if err := w.socket.send(w.channel, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s Session) runWebSocket(ctx context.Context) ([]byte, error) {
	conn, err := dialWebSocket(ctx, s.URL, protocolV5, "v4.channel.k8s.io")
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if s.Stdin != nil {
		go s.sendInput(conn)
	}
	ended := make(chan struct{})
	defer close(ended)
	if s.TTY {
		go s.sendSizes(json.NewEncoder(channelWriter{conn, resizeChannel}), ended)
	}
	status, err := s.receive(conn)
	return status, errors.Join(err, ctx.Err())
}

func (s Session) sendInput(conn *socket) {
	// The buffer hides any WriterTo: messages stay of a bounded size.
	_, _ = io.CopyBuffer(channelWriter{conn, stdinChannel}, struct{ io.Reader }{s.Stdin}, make([]byte, 32<<10))
	if conn.Subprotocol() == protocolV5 {
		_ = conn.send(closeSignal, []byte{stdinChannel})
	}
}

// receive sorts the messages until the server closes; the status comes last.
func (s Session) receive(conn *socket) ([]byte, error) {
	var status []byte
	for {
		_, message, err := conn.ReadMessage()
		if err != nil {
			if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseNoStatusReceived) || len(status) > 0 {
				return status, nil
			}
			return status, err
		}
		if len(message) == 0 {
			continue
		}
		var to io.Writer
		switch message[0] {
		case stdoutChannel:
			to = s.Stdout
		case stderrChannel:
			to = s.Stderr
		case statusChannel:
			status = append(status, message[1:]...)
		}
		if to == nil {
			continue
		}
		if _, err := to.Write(message[1:]); err != nil {
			return status, err
		}
	}
}
