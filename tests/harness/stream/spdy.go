package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"golang.org/x/sync/errgroup"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// dialSPDY upgrades an HTTP request to a SPDY connection.
func dialSPDY(ctx context.Context, url, protocol string) (httpstream.Connection, error) {
	transport, err := spdy.NewRoundTripper(nil)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set(httpstream.HeaderProtocolVersion, protocol)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return transport.NewConnection(resp)
}

// spdyStreams are the streams of a session; those not asked for are nil.
type spdyStreams struct{ status, stdin, stdout, stderr, resize httpstream.Stream }

func (s Session) runSPDY(ctx context.Context) ([]byte, error) {
	conn, err := dialSPDY(ctx, s.URL, "v4.channel.k8s.io")
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	streams, err := s.open(conn)
	if err != nil {
		return nil, err
	}
	return s.serve(ctx, conn, streams)
}

// open creates the streams in the order of Kubernetes' own client.
func (s Session) open(conn httpstream.Connection) (*spdyStreams, error) {
	streams := &spdyStreams{}
	for _, want := range []struct {
		kind string
		ask  bool
		into *httpstream.Stream
	}{
		{"error", true, &streams.status},
		{"stdin", s.Stdin != nil, &streams.stdin},
		{"stdout", s.Stdout != nil, &streams.stdout},
		{"stderr", s.Stderr != nil, &streams.stderr},
		{"resize", s.TTY, &streams.resize},
	} {
		if !want.ask {
			continue
		}
		stream, err := conn.CreateStream(http.Header{"Streamtype": {want.kind}})
		if err != nil {
			return nil, fmt.Errorf("open %s stream: %w", want.kind, err)
		}
		*want.into = stream
	}
	return streams, nil
}

// serve copies until status and output have ended. Input is abandoned then:
// closing the connection ends its copy, and a blocked Stdin is the caller's.
func (s Session) serve(ctx context.Context, conn httpstream.Connection, streams *spdyStreams) ([]byte, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if streams.stdin != nil {
		go func() {
			_, _ = io.Copy(streams.stdin, s.Stdin)
			_ = streams.stdin.Close()
		}()
	}
	ended := make(chan struct{})
	defer close(ended)
	if streams.resize != nil {
		go s.sendSizes(json.NewEncoder(streams.resize), ended)
	}
	var status []byte
	var group errgroup.Group
	group.Go(func() (err error) {
		status, err = io.ReadAll(streams.status)
		return err
	})
	for stream, to := range map[httpstream.Stream]io.Writer{streams.stdout: s.Stdout, streams.stderr: s.Stderr} {
		if stream != nil {
			group.Go(func() error { _, err := io.Copy(to, stream); return err })
		}
	}
	err := group.Wait()
	return status, errors.Join(err, ctx.Err())
}

// sendSizes sends terminal sizes until the session has ended.
func (s Session) sendSizes(encoder *json.Encoder, ended <-chan struct{}) {
	for {
		select {
		case size, ok := <-s.Resize:
			if !ok || encoder.Encode(size) != nil {
				return
			}
		case <-ended:
			return
		}
	}
}
