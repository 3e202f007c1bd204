package server_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"k8s.io/streaming/pkg/httpstream"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/session"
)

func (f *fixture) forwardURL(t *testing.T, ports ...int32) string {
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
