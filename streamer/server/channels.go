package server

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// errMalformed is a message that the protocol does not have.
var errMalformed = errors.New("malformed message")

// channelProtocol is one of channels in WebSocket messages. The first byte of a
// message is its channel's number.
type channelProtocol struct {
	name      string
	base64    bool // numbers are digits, data is encoded
	exitCodes bool // statuses are JSON
	halfClose bool // the client can end a channel
}

// messageLimit, in bytes, is what one message to the client carries. Not all
// clients can put together fragments, so it is less than the buffer.
const messageLimit = bufferSize / 2

// channels is a WebSocket connection whose messages carry several streams.
type channels struct {
	channelProtocol
	conn   *websocket.Conn
	active func() // called for each message
	inputs map[byte]*input
	// sending serializes messages.
	sending sync.Mutex
}

// input is a channel from the client.
type input struct {
	*io.PipeReader
	writer *io.PipeWriter
}

// upgradeWebSocket answers the upgrade with the client's first protocol of
// these. Error: the client has been told.
func upgradeWebSocket(c *client, protocols []string) (*websocket.Conn, error) {
	asked := websocket.Subprotocols(c.request)
	if len(asked) == 0 {
		asked = []string{""}
	}
	if !slices.ContainsFunc(asked, func(name string) bool { return slices.Contains(protocols, name) }) {
		err := fmt.Errorf("WebSocket protocols %q are not known; known are %q", asked, protocols)
		http.Error(c.response, err.Error(), http.StatusForbidden)
		return nil, err
	}
	upgrader := websocket.Upgrader{
		Subprotocols: protocols,
		// The token is what allows; browsers come through the API server.
		CheckOrigin: func(*http.Request) bool { return true },
	}
	conn, err := upgrader.Upgrade(c.response, c.request, nil)
	if err != nil {
		return nil, fmt.Errorf("upgrade to WebSocket: %w", err)
	}
	c.session.Agreed(conn.Subprotocol())
	return conn, nil
}

func upgradeChannels(c *client, protocols []channelProtocol) (*channels, error) {
	var names []string
	for _, p := range protocols {
		names = append(names, p.name)
	}
	conn, err := upgradeWebSocket(c, names)
	if err != nil {
		return nil, err
	}
	chosen := protocols[slices.Index(names, conn.Subprotocol())]
	return &channels{channelProtocol: chosen, conn: conn, active: c.active, inputs: make(map[byte]*input)}, nil
}

// reader returns a channel from the client. What comes on others is thrown
// away. It must be called before receive.
func (c *channels) reader(number byte) io.ReadCloser {
	in := new(input)
	in.PipeReader, in.writer = io.Pipe()
	c.inputs[number] = in
	return in
}

// receive distributes what the client sends, until the connection ends. fail
// hears of what is malformed, which ends it.
func (c *channels) receive(fail func(error)) {
	defer func() {
		for _, in := range c.inputs {
			_ = in.writer.Close()
		}
		_ = c.conn.Close()
	}()
	buffer := make([]byte, messageLimit)
	for {
		_, message, err := c.conn.NextReader()
		if err != nil {
			return
		}
		c.active()
		err = c.deliver(message, buffer)
		if errors.Is(err, errMalformed) {
			fail(err)
			c.farewell(websocket.CloseProtocolError, err.Error())
		}
		if err != nil {
			return
		}
	}
}

// deliver gives one message to its channel's reader. It waits for that.
func (c *channels) deliver(message io.Reader, buffer []byte) error {
	number, err := first(message)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	if c.halfClose && number == remotecommand.StreamClose {
		return c.end(message)
	}
	if c.base64 {
		number -= '0'
		message = base64.NewDecoder(base64.StdEncoding, message)
	}
	in := c.inputs[number]
	if in == nil {
		return nil
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{in.writer}, struct{ io.Reader }{message}, buffer)
	var corrupt base64.CorruptInputError
	switch {
	case errors.Is(err, io.ErrClosedPipe):
		return nil // nobody reads it any more
	case errors.As(err, &corrupt):
		return fmt.Errorf("%w: channel %d: %w", errMalformed, number, corrupt)
	}
	return err
}

// end is the client's signal that it sends no more on a channel.
func (c *channels) end(message io.Reader) error {
	number, err := first(message)
	if err != nil {
		return fmt.Errorf("%w: close signal names no channel", errMalformed)
	}
	if number > remotecommand.StreamResize {
		return fmt.Errorf("%w: close signal names channel %d", errMalformed, number)
	}
	if _, err := first(message); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: close signal is too long", errMalformed)
	}
	if in := c.inputs[number]; in != nil {
		return in.writer.Close()
	}
	return nil
}

func first(message io.Reader) (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(message, b[:])
	return b[0], err
}

// writer returns a channel to the client.
func (c *channels) writer(number byte) io.Writer { return channel{c, number} }

type channel struct {
	*channels
	number byte
}

// Write sends at least one message, also of nothing.
func (c channel) Write(p []byte) (int, error) {
	c.active()
	for sent := 0; ; {
		piece := p[sent:min(len(p), sent+messageLimit)]
		if err := c.send(piece); err != nil {
			return sent, err
		}
		if sent += len(piece); sent == len(p) {
			return sent, nil
		}
	}
}

func (c channel) send(data []byte) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	if c.base64 {
		var text strings.Builder
		text.WriteByte('0' + c.number)
		text.WriteString(base64.StdEncoding.EncodeToString(data))
		return c.conn.WriteMessage(websocket.TextMessage, []byte(text.String()))
	}
	w, err := c.conn.NextWriter(websocket.BinaryMessage)
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte{c.number}); err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Close()
}

// close ends the channels and tells the client that no more comes.
func (c *channels) close() {
	for _, in := range c.inputs {
		_ = in.Close()
	}
	c.farewell(websocket.CloseNormalClosure, "")
}

func (c *channels) farewell(code int, why string) {
	why = why[:min(len(why), 100)] // a control message is short
	_ = c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, why), time.Now().Add(goodbye))
}
