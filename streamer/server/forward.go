package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"github.com/trivet-cri/trivet/internal/telemetry"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/forward"
)

// maxPorts is what a WebSocket session's channel numbers, a byte, allow.
const maxPorts = 100

// forwardProtocols are those that name their ports beforehand, one connection each.
var forwardProtocols = []channelProtocol{
	{name: "v4." + wsstream.ChannelWebSocketProtocol},
	{name: "v4." + wsstream.Base64ChannelWebSocketProtocol, base64: true},
	{name: ""},
}

func (s *Server) serveForward(c *client, r *streamerv1.PreparePortForwardRequest) {
	switch {
	case !wsstream.IsWebSocketRequest(c.request):
		s.forwardSPDY(c, r, directly)
	case wsstream.IsWebSocketRequestWithTunnelingProtocol(c.request):
		s.forwardSPDY(c, r, throughTunnel)
	default:
		ports, err := portsOf(c, r)
		if err != nil {
			c.refuse(err)
			return
		}
		s.forwardChannels(c, r, ports)
	}
}

// portsOf are those of the session: of the CRI request, or else of the URL.
func portsOf(c *client, r *streamerv1.PreparePortForwardRequest) ([]int32, error) {
	ports := r.GetPorts()
	if len(ports) == 0 {
		options, err := portforward.NewV4Options(c.request)
		if err != nil {
			return nil, err
		}
		ports = options.Ports
	}
	if len(ports) > maxPorts {
		return nil, fmt.Errorf("%d ports in one session are more than %d", len(ports), maxPorts)
	}
	return ports, nil
}

// forwardChannels serves a session over WebSocket channels, two for each
// port: of data, and of the connection's error. Both begin with the port.
func (s *Server) forwardChannels(c *client, r *streamerv1.PreparePortForwardRequest, ports []int32) {
	conn, err := upgradeChannels(c, forwardProtocols)
	if err != nil {
		c.note(err) // the client has been told
		return
	}
	var connections sync.WaitGroup
	for i, port := range ports {
		data := channelPair{conn.reader(byte(2 * i)), conn.writer(byte(2 * i))}
		failure := conn.writer(byte(2*i + 1))
		greeting := binary.LittleEndian.AppendUint16(nil, uint16(port))
		connections.Go(func() {
			_, _ = data.Write(greeting)
			_, _ = failure.Write(greeting)
			// The protocol has no half-close.
			err := s.handlers.Forward.Forward(c.ctx, r, port, forward.Stream{ReadWriteCloser: c.session.Connection(data), Abort: func() { _ = data.Close() }})
			if err != nil && !errors.Is(err, errGone) {
				s.log.DebugContext(c.ctx, "forwarded connection failed", telemetry.PodID, r.GetPodId(), "port", port, "error", err)
				_, _ = io.WriteString(failure, forwardFailure(r, port, err))
			}
			_ = data.Close()
		})
	}
	c.background(func() { conn.receive(c.note) })
	connections.Wait()
	if c.ctx.Err() != nil {
		c.note(context.Cause(c.ctx))
	}
	conn.close()
}

// channelPair is a channel in both directions.
type channelPair struct {
	io.ReadCloser
	io.Writer
}

// forwardFailure is what the client of a connection gets to know.
func forwardFailure(r *streamerv1.PreparePortForwardRequest, port int32, err error) string {
	return fmt.Sprintf("error forwarding port %d to pod %s, uid %s: %v", port, r.GetPodId(), r.GetPodUid(), err)
}
