package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// remoteOverSPDY waits until the client has opened its streams: one for each
// of those asked for, and one for the status.
func (s *Server) remoteOverSPDY(c *client, want wanted) (*remote, error) {
	wire, protocol, err := upgradeSPDY(c, remotecommand.SupportedStreamingProtocols)
	if err != nil {
		return nil, err
	}
	awaited := newGathering(want, protocol)
	conn, err := serveSPDY(c, wire, awaited.accept)
	if err != nil {
		return nil, err
	}
	streams, err := awaited.wait(c.ctx, s.config.CreationTimeout)
	exitCodes := protocol == remotecommand.StreamProtocolV4Name
	tell := func(s status) { _, _ = streams[remotecommand.StreamTypeError].Write(s.encode(exitCodes)) }
	if err != nil {
		if streams[remotecommand.StreamTypeError] != nil {
			tell(failed(err))
		}
		conn.close()
		return nil, err
	}
	to := &remote{tell: tell, close: func() {
		for _, stream := range streams {
			_ = stream.Close() // this side of it
		}
		conn.close()
	}}
	// A nil of a stream would not be a nil of the interface.
	if stream := streams[remotecommand.StreamTypeStdin]; stream != nil {
		to.stdin = c.session.Reader(stream)
	}
	if stream := streams[remotecommand.StreamTypeStdout]; stream != nil {
		to.stdout = c.session.Writer(stream)
	}
	if stream := streams[remotecommand.StreamTypeStderr]; stream != nil {
		to.stderr = c.session.Writer(stream)
	}
	if stream := streams[remotecommand.StreamTypeResize]; stream != nil {
		to.resize = sizes(c, stream)
	}
	return to, nil
}

// gathering are the streams that a client has to open.
type gathering struct {
	mu       sync.Mutex
	missing  []string
	streams  map[string]*spdyStream
	complete chan struct{}
}

func newGathering(want wanted, protocol string) *gathering {
	g := &gathering{streams: make(map[string]*spdyStream), complete: make(chan struct{})}
	// Versions 1 and 2 cannot resize.
	resize := want.GetTty() && (protocol == remotecommand.StreamProtocolV4Name || protocol == remotecommand.StreamProtocolV3Name)
	for kind, asked := range map[string]bool{
		remotecommand.StreamTypeError:  true,
		remotecommand.StreamTypeStdin:  want.GetStdin(),
		remotecommand.StreamTypeStdout: want.GetStdout(),
		remotecommand.StreamTypeStderr: want.GetStderr(),
		remotecommand.StreamTypeResize: resize,
	} {
		if asked {
			g.missing = append(g.missing, kind)
		}
	}
	slices.Sort(g.missing)
	return g
}

func (g *gathering) accept(_ *spdyConn, stream *spdyStream) error {
	kind := stream.Headers().Get(remotecommand.StreamType)
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.missing, kind)
	if i < 0 {
		return fmt.Errorf("a stream of type %q is not expected", kind)
	}
	g.missing = slices.Delete(g.missing, i, i+1)
	g.streams[kind] = stream
	if len(g.missing) == 0 {
		close(g.complete)
	}
	return nil
}

// wait returns the streams by type; with an error, those that have come.
func (g *gathering) wait(ctx context.Context, limit time.Duration) (map[string]*spdyStream, error) {
	expired := time.NewTimer(limit)
	defer expired.Stop()
	var err error
	select {
	case <-g.complete:
		return g.streams, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-expired.C:
		err = fmt.Errorf("the client has not opened all streams in %v", limit)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	err = fmt.Errorf("%w, missing: %s", err, strings.Join(g.missing, ", "))
	g.missing = nil // those that come now are too late
	return g.streams, err
}
