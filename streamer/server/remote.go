package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/attach"
	"github.com/trivet-cri/trivet/streamer/exec"
)

// sizeLimit, in bytes, is what a message with a terminal's size may have.
const sizeLimit = 1 << 10

// wanted says which streams a request is for.
type wanted interface {
	GetTty() bool
	GetStdin() bool
	GetStdout() bool
	GetStderr() bool
}

// remote are a client's streams of an exec or attach session, whatever it
// speaks. Those that were not asked for are nil.
type remote struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	resize         <-chan remotecommand.TerminalSize
	tell           func(status)
	close          func()
}

func (s *Server) serveExec(c *client, r *streamerv1.PrepareExecRequest) {
	s.serveRemote(c, r, func(to *remote) status {
		code, err := s.handlers.Exec.Stream(c.ctx, r, exec.Streams{
			Stdin: to.stdin, Stdout: to.stdout, Stderr: to.stderr, TTY: r.GetTty(), Resize: to.resize,
		})
		if err != nil {
			c.note(err)
			return failed(fmt.Errorf("error executing command in container: %w", err))
		}
		return exited(r.GetContainer().GetId(), code)
	})
}

func (s *Server) serveAttach(c *client, r *streamerv1.PrepareAttachRequest) {
	s.serveRemote(c, r, func(to *remote) status {
		err := s.handlers.Attach.Attach(c.ctx, r, attach.Streams{
			Stdin: to.stdin, Stdout: to.stdout, Stderr: to.stderr, Resize: to.resize, Background: c.background,
		})
		if c.ctx.Err() != nil {
			err = context.Cause(c.ctx)
		}
		if err != nil {
			c.note(err)
			if errdefs.IsResourceExhausted(err) {
				c.response.closeWithin(slowGoodbye) // who does not read does not hold the session up
			}
			return failed(fmt.Errorf("error attaching to container: %w", err))
		}
		return success
	})
}

// serveRemote opens the client's streams, serves them and tells the client
// the outcome.
func (s *Server) serveRemote(c *client, want wanted, serve func(*remote) status) {
	open := s.remoteOverSPDY
	if wsstream.IsWebSocketRequest(c.request) {
		open = s.remoteOverWebSocket
	}
	to, err := open(c, want)
	if err != nil {
		c.note(err) // the client knows
		return
	}
	to.tell(serve(to))
	to.close()
}

// sizes decodes what comes on a resize stream. Only the newest size waits to
// be taken, so that the messages never are in the way of others.
func sizes(c *client, from io.Reader) <-chan remotecommand.TerminalSize {
	decoded := make(chan remotecommand.TerminalSize, 1)
	c.background(func() {
		defer close(decoded)
		limited := &io.LimitedReader{R: from}
		for decoder := json.NewDecoder(limited); ; {
			var size remotecommand.TerminalSize
			limited.N = sizeLimit
			if decoder.Decode(&size) != nil {
				break
			}
			select {
			case <-decoded:
			default:
			}
			decoded <- size
		}
		_, _ = io.Copy(io.Discard, from)
	})
	return decoded
}

// remoteProtocols are those of exec and attach over WebSocket.
var remoteProtocols = []channelProtocol{
	{name: remotecommand.StreamProtocolV5Name, exitCodes: true, halfClose: true},
	{name: "v4." + wsstream.ChannelWebSocketProtocol, exitCodes: true},
	{name: "v4." + wsstream.Base64ChannelWebSocketProtocol, exitCodes: true, base64: true},
	{name: wsstream.ChannelWebSocketProtocol},
	{name: wsstream.Base64ChannelWebSocketProtocol, base64: true},
	{name: ""},
}

func (s *Server) remoteOverWebSocket(c *client, want wanted) (*remote, error) {
	conn, err := upgradeChannels(c, remoteProtocols)
	if err != nil {
		return nil, err
	}
	outcome := conn.writer(remotecommand.StreamErr)
	to := &remote{
		tell: func(s status) {
			if text := s.encode(conn.exitCodes); len(text) > 0 {
				_, _ = outcome.Write(text)
			}
		},
		close: conn.close,
	}
	first := outcome // of those on which the client waits for a first, empty message
	if want.GetStderr() {
		first = conn.writer(remotecommand.StreamStdErr)
		to.stderr = c.session.Writer(first)
	}
	if want.GetStdout() {
		first = conn.writer(remotecommand.StreamStdOut)
		to.stdout = c.session.Writer(first)
	}
	if want.GetStdin() {
		to.stdin = c.session.Reader(conn.reader(remotecommand.StreamStdIn))
	}
	if want.GetTty() {
		to.resize = sizes(c, conn.reader(remotecommand.StreamResize))
	}
	c.background(func() { conn.receive(c.note) })
	_, _ = first.Write(nil)
	return to, nil
}
