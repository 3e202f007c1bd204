package server

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
)

// throughTunnel carries SPDY in the messages of a WebSocket: what clients do
// to get SPDY through proxies that know only WebSocket.
func throughTunnel(c *client) (*wire, error) {
	var protocols []string
	for _, inner := range portforward.SupportedProtocols {
		protocols = append(protocols, portforward.WebsocketsSPDYTunnelingPrefix+inner)
	}
	conn, err := upgradeWebSocket(c, protocols)
	if err != nil {
		return nil, err
	}
	t := &tunnel{conn: conn}
	w := newWire(t, t, c)
	w.halfClose = t.Close
	return w, nil
}

// tunnel is a connection of the bytes in a WebSocket's binary messages.
type tunnel struct {
	conn    *websocket.Conn
	message io.Reader // under way
	sending sync.Mutex
}

// Read implements net.Conn; only one goroutine may.
func (t *tunnel) Read(p []byte) (int, error) {
	for {
		if t.message == nil {
			kind, message, err := t.conn.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, errors.New("tunnel has a message that is not binary")
			}
			t.message = message
		}
		n, err := t.message.Read(p)
		if errors.Is(err, io.EOF) {
			t.message = nil
			err = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Write implements net.Conn.
func (t *tunnel) Write(p []byte) (int, error) {
	t.sending.Lock()
	defer t.sending.Unlock()
	if err := t.conn.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close tells the client that no more comes, which answers by closing.
func (t *tunnel) Close() error {
	message := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	return t.conn.WriteControl(websocket.CloseMessage, message, time.Now().Add(goodbye))
}

// LocalAddr implements net.Conn.
func (t *tunnel) LocalAddr() net.Addr { return t.conn.LocalAddr() }

// RemoteAddr implements net.Conn.
func (t *tunnel) RemoteAddr() net.Addr { return t.conn.RemoteAddr() }

// SetDeadline implements net.Conn.
func (t *tunnel) SetDeadline(when time.Time) error {
	return errors.Join(t.SetReadDeadline(when), t.SetWriteDeadline(when))
}

// SetReadDeadline implements net.Conn.
func (t *tunnel) SetReadDeadline(when time.Time) error { return t.conn.SetReadDeadline(when) }

// SetWriteDeadline implements net.Conn.
func (t *tunnel) SetWriteDeadline(when time.Time) error { return t.conn.SetWriteDeadline(when) }
