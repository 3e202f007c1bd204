package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"k8s.io/streaming/pkg/httpstream"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/server"
	"github.com/trivet-cri/trivet/streamer/session"
)

var config = server.Config{IdleTimeout: time.Minute, DrainTimeout: 100 * time.Millisecond}

// exitCode reads a status as clients do.
func exitCode(t *testing.T, status string) string {
	t.Helper()
	var parsed struct {
		Status, Reason, Message string
		Details                 struct {
			Causes []struct{ Reason, Message string }
		}
	}
	if err := json.Unmarshal([]byte(status), &parsed); err != nil {
		t.Fatalf("status %q: %v", status, err)
	}
	if parsed.Status == "Success" {
		return "0"
	}
	for _, cause := range parsed.Details.Causes {
		if cause.Reason == "ExitCode" {
			return cause.Message
		}
	}
	return parsed.Message
}

// spdySession opens all streams of an exec session.
type spdySession struct {
	conn                               httpstream.Connection
	status, stdin, out, failed, resize httpstream.Stream
}

func openSPDY(t *testing.T, url string, tty bool) *spdySession {
	t.Helper()
	conn := dialSPDY(t, url, "v4.channel.k8s.io")
	s := &spdySession{conn: conn, status: open(t, conn, "streamType", "error"), stdin: open(t, conn, "streamType", "stdin"), out: open(t, conn, "streamType", "stdout")}
	if tty {
		s.resize = open(t, conn, "streamType", "resize")
	} else {
		s.failed = open(t, conn, "streamType", "stderr")
	}
	return s
}

func text(t *testing.T, r io.Reader) string {
	t.Helper()
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func TestExecOverSPDY(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	s := openSPDY(t, f.execURL(t, false, "cat"), false)
	if _, err := io.WriteString(s.stdin, "over and back"); err != nil {
		t.Fatal(err)
	}
	_ = s.stdin.Close() // half
	if got := text(t, s.out); got != "over and back" {
		t.Errorf("output %q", got)
	}
	if got := exitCode(t, text(t, s.status)); got != "0" {
		t.Errorf("exit code %s", got)
	}

	s = openSPDY(t, f.execURL(t, false, "fail"), false)
	if out, code := text(t, s.failed), exitCode(t, text(t, s.status)); out != "no such thing" || code != "7" {
		t.Errorf("stderr %q, exit code %s", out, code)
	}

	s = openSPDY(t, f.execURL(t, false, "nothing"), false)
	if message := exitCode(t, text(t, s.status)); !strings.Contains(message, "cannot start") {
		t.Errorf("message %q", message)
	}

	s = openSPDY(t, f.execURL(t, true, "size"), true)
	_, _ = io.WriteString(s.resize, `{"Width":132,"Height":43}`)
	if got := text(t, s.out); got != "132x43 tty=true stderr=false" {
		t.Errorf("output %q", got)
	}
}

func TestExecOverWebSocket(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	conn := dialWebSocket(t, f.execURL(t, false, "fail"))
	if got := channels(conn); got[2] != "no such thing" || exitCode(t, got[3]) != "7" {
		t.Errorf("got %v", got)
	}
	conn = dialWebSocket(t, f.execURL(t, true, "size"))
	if err := conn.WriteMessage(websocket.BinaryMessage, []byte("\x04"+`{"Width":80,"Height":25}`)); err != nil {
		t.Fatal(err)
	}
	if got := channels(conn); got[1] != "80x25 tty=true stderr=false" || exitCode(t, got[3]) != "0" {
		t.Errorf("got %v", got)
	}
}

func TestAttachOverSPDY(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	s := openSPDY(t, f.url(t, session.Attach, &streamerv1.PrepareAttachRequest{
		Container: &streamerv1.Container{Id: "c0"}, Stdin: true, Stdout: true, Stderr: true,
	}), false)
	_, _ = io.WriteString(s.stdin, "line")
	_ = s.stdin.Close()
	if got := text(t, s.out); got != "line" {
		t.Errorf("output %q", got)
	}
}

// TestClientLeaves: also when nobody reads what the client sends, so that
// only the connection's state tells.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		leave func(*testing.T, *fixture)
	}{
		{"spdy", func(t *testing.T, f *fixture) {
			s := openSPDY(t, f.execURL(t, false, "hang"), false)
			within(t, "session", f.begun)
			_ = s.conn.Close()
		}},
		{"websocket", func(t *testing.T, f *fixture) {
			conn := dialWebSocket(t, f.execURL(t, false, "hang"))
			within(t, "session", f.begun)
			_ = conn.Close()
		}},
		{"websocket with unread input", func(t *testing.T, f *fixture) {
			conn := dialWebSocket(t, f.execURL(t, false, "hang"))
			within(t, "session", f.begun)
			for range 3 {
				if err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, 1000)); err != nil {
					t.Fatal(err)
				}
			}
			_ = conn.Close()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := serve(t, config)
			test.leave(t, f)
			if cause := within(t, "end", f.ended); !strings.Contains(fmt.Sprint(cause), "client has left") {
				t.Errorf("cause is %v", cause)
			}
			f.awaitNone(t)
		})
	}
}

func TestListing(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	_ = dialWebSocket(t, f.execURL(t, false, "hang"))
	within(t, "session", f.begun)
	list := f.sessions.List()
	if len(list) != 1 || list[0].Kind != session.Exec || list[0].Target() != "c0" || list[0].Protocol != "websocket" || time.Since(list[0].Started) > time.Minute {
		t.Errorf("list is %v", list)
	}
}

// TestDrain: a session that does not end is ended, and its client told why.
func TestDrain(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	s := openSPDY(t, f.execURL(t, false, "hang"), false)
	within(t, "session", f.begun)
	status := make(chan string, 1)
	go func() { got, _ := io.ReadAll(s.status); status <- string(got) }()
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	if cause := within(t, "end", f.ended); !errors.Is(cause, session.ErrStopping) {
		t.Errorf("cause is %v", cause)
	}
	if got := within(t, "status", status); !strings.Contains(got, "stopping") {
		t.Errorf("status is %q", got)
	}
	if conn, err := net.Dial("tcp", f.address); err == nil {
		_ = conn.Close()
		t.Error("still accepts")
	}
}

// TestIdle: a session without traffic ends, and its client is told why.
func TestIdle(t *testing.T) {
	t.Parallel()
	limited := config
	limited.IdleTimeout = 200 * time.Millisecond
	f := serve(t, limited)
	spdy := openSPDY(t, f.execURL(t, false, "hang"), false)
	for range 10 { // longer than the timeout, but not idle
		_, _ = io.WriteString(spdy.stdin, "x")
		time.Sleep(limited.IdleTimeout / 5)
	}
	if len(f.sessions.List()) != 1 {
		t.Error("a session with traffic has ended")
	}
	if got := text(t, spdy.status); !strings.Contains(got, "no traffic for 200ms") {
		t.Errorf("status is %q", got)
	}
	if cause := within(t, "end", f.ended); !strings.Contains(fmt.Sprint(cause), "no traffic") {
		t.Errorf("cause is %v", cause)
	}
	f = serve(t, limited)
	if got := channels(dialWebSocket(t, f.execURL(t, false, "hang"))); !strings.Contains(got[3], "no traffic for 200ms") {
		t.Errorf("got %q", got)
	}
	f = serve(t, limited)
	within(t, "end of connection", dialSPDY(t, f.forwardURL(t), "portforward.k8s.io").CloseChan())
	f.awaitNone(t)
}

// TestStreamsNeverOpened: a client that upgrades and then does nothing.
func TestStreamsNeverOpened(t *testing.T) {
	t.Parallel()
	limited := config
	limited.CreationTimeout = 100 * time.Millisecond
	f := serve(t, limited)
	conn := dialSPDY(t, f.execURL(t, false, "cat"), "v4.channel.k8s.io")
	within(t, "end of connection", conn.CloseChan())
	f.awaitNone(t)
	// One that has opened some is told which are missing.
	conn = dialSPDY(t, f.execURL(t, false, "cat"), "v4.channel.k8s.io")
	status := open(t, conn, "streamType", "error")
	open(t, conn, "streamType", "stdout")
	if got := text(t, status); !strings.Contains(got, "has not opened all streams in 100ms, missing: stderr, stdin") {
		t.Errorf("status is %q", got)
	}
}

// TestUnexpectedStreams are reset: of unknown types, of types that were not
// asked for, twice, and when all have come.
func TestUnexpectedStreams(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	conn := dialSPDY(t, f.execURL(t, false, "cat"), "v4.channel.k8s.io")
	refused := func(kind string) {
		t.Helper()
		if stream := open(t, conn, "streamType", kind); text(t, stream) != "" {
			t.Errorf("a stream %q is taken", kind)
		}
	}
	for _, kind := range []string{"", "other", "resize"} {
		refused(kind)
	}
	status, out := open(t, conn, "streamType", "error"), open(t, conn, "streamType", "stdout")
	refused("stdout")
	open(t, conn, "streamType", "stderr")
	stdin := open(t, conn, "streamType", "stdin")
	for range 20 {
		refused("stdin")
	}
	_, _ = io.WriteString(stdin, "well")
	_ = stdin.Close()
	if got := text(t, out); got != "well" || exitCode(t, text(t, status)) != "0" {
		t.Errorf("output %q", got)
	}
}
