package server_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/streaming/pkg/httpstream"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/forward"
	"github.com/trivet-cri/trivet/streamer/server"
	"github.com/trivet-cri/trivet/streamer/session"
)

func (f *fixture) forwardURL(t testing.TB, ports ...int32) string {
	t.Helper()
	return f.url(t, session.PortForward, &streamerv1.PreparePortForwardRequest{PodId: "b0", Ports: ports})
}

func openPort(t *testing.T, conn httpstream.Connection, port, id string) (data, failed httpstream.Stream) {
	t.Helper()
	failed = open(t, conn, "streamType", "error", "port", port, "requestID", id)
	return open(t, conn, "streamType", "data", "port", port, "requestID", id), failed
}

// TestForwardOverSPDY: a refused connection leaves the others alone.
func TestForwardOverSPDY(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	conn := dialSPDY(t, f.forwardURL(t), "portforward.k8s.io")
	good, _ := openPort(t, conn, "80", "1")
	_, refused := openPort(t, conn, "81", "2")
	if got := text(t, refused); !strings.Contains(got, "port 81 refused") {
		t.Errorf("error stream has %q", got)
	}
	_, _ = io.WriteString(good, "ping")
	_ = good.Close() // half
	if got := text(t, good); got != "PING" {
		t.Errorf("answer %q", got)
	}
	again, _ := openPort(t, conn, "80", "3")
	_, _ = io.WriteString(again, "more")
	_ = again.Close()
	if got := text(t, again); got != "MORE" {
		t.Errorf("answer %q", got)
	}
}

// TestRefusedEveryTime: the client learns why, also when the refusal comes
// while it still opens streams, and whatever it sends meanwhile.
func TestRefusedEveryTime(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	conn := dialSPDY(t, f.forwardURL(t), "portforward.k8s.io")
	for i := range 100 {
		data, refused := openPort(t, conn, "81", fmt.Sprint(i))
		_, _ = data.Write(make([]byte, 1000))
		if got := text(t, refused); !strings.Contains(got, "error forwarding port 81 to pod b0") {
			t.Fatalf("error stream has %q", got)
		}
		_ = data.Close()
	}
}

// TestBadStreams are reset, and the session goes on.
func TestBadStreams(t *testing.T) {
	t.Parallel()
	limited := config
	limited.CreationTimeout = 50 * time.Millisecond
	f := serve(t, limited)
	conn := dialSPDY(t, f.forwardURL(t), "portforward.k8s.io")
	reset := func(headers ...string) {
		t.Helper()
		header := make(http.Header)
		for i := 0; i < len(headers); i += 2 {
			header.Set(headers[i], headers[i+1])
		}
		if stream, err := conn.CreateStream(header); err == nil {
			if _, err := io.ReadAll(stream); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("%v: %v", headers, err)
			}
		}
	}
	for _, port := range []string{"", "0", "-1", "65536", "x"} {
		reset("streamType", "data", "port", port, "requestID", "1")
	}
	reset("streamType", "other", "port", "80", "requestID", "1")
	reset("port", "80", "requestID", "1")
	reset("streamType", "error", "port", "80", "requestID", "alone") // its pair never comes
	twice, _ := openPort(t, conn, "80", "9")
	_, _ = io.WriteString(twice, "still")
	_ = twice.Close()
	if got := text(t, twice); got != "STILL" {
		t.Errorf("answer %q", got)
	}
}

// TestOldClient names no request.
func TestOldClient(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	conn := dialSPDY(t, f.forwardURL(t), "portforward.k8s.io")
	for range 2 {
		open(t, conn, "streamType", "error", "port", "80")
		data := open(t, conn, "streamType", "data", "port", "80")
		_, _ = io.WriteString(data, "old")
		_ = data.Close()
		if got := text(t, data); got != "OLD" {
			t.Errorf("answer %q", got)
		}
	}
}

func TestForwardOverWebSocket(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	for _, url := range []string{f.forwardURL(t, 82, 81), f.forwardURL(t) + "?port=82&port=81"} {
		conn := dialWebSocket(t, url)
		if err := conn.WriteMessage(2, []byte("\x00ping")); err != nil {
			t.Fatal(err)
		}
		got := channels(conn)
		if got[0] != "\x52\x00PING" || got[1] != "\x52\x00" || !strings.Contains(got[3], "port 81 refused") {
			t.Errorf("got %q", got)
		}
	}
}

func TestForwardBadQuery(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	webSocket := map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "x"}
	for _, query := range []string{"", "?port=", "?port=0", "?port=70000", "?port=x", "?port=" + strings.Repeat("1,", 200) + "1"} {
		if code, text := upgrade(t, f.forwardURL(t)+query, webSocket); code != http.StatusBadRequest {
			t.Errorf("query %.20q gives %d %s", query, code, text)
		}
	}
}

func TestForwardClientLeaves(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	conn := dialSPDY(t, f.forwardURL(t), "portforward.k8s.io")
	openPort(t, conn, "90", "1")
	within(t, "connection", f.begun)
	_ = conn.Close()
	if cause := within(t, "end", f.ended); cause == nil {
		t.Error("no cause")
	}
}

// TestForwardAlone: a connection is begun with its first stream, and given up
// when the other does not come, or the client leaves.
func TestForwardAlone(t *testing.T) {
	t.Parallel()
	limited := config
	limited.CreationTimeout = 50 * time.Millisecond
	for name, test := range map[string]struct {
		config server.Config
		leave  bool
	}{"never": {config: limited}, "left": {config: config, leave: true}} {
		pod := lonely{begun: make(chan error, 1), ended: make(chan error, 1)}
		f := serveWith(t, test.config, new(commands), pod)
		conn := dialSPDY(t, f.forwardURL(t), "portforward.k8s.io")
		open(t, conn, "streamType", "error", "port", "80", "requestID", "1")
		_ = within(t, "connection", pod.begun)
		if test.leave {
			_ = conn.Close()
		}
		if err := within(t, "end", pod.ended); err == nil {
			t.Errorf("%s: reading ends without an error", name)
		}
	}
}

// lonely says how reading a connection ends.
type lonely struct{ begun, ended chan error }

func (l lonely) Forward(_ context.Context, _ *streamerv1.PreparePortForwardRequest, _ int32, client forward.Stream) error {
	defer client.Abort()
	l.begun <- nil
	_, err := client.Read(make([]byte, 1))
	l.ended <- err
	return err
}
