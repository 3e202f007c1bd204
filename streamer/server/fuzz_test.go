package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/moby/spdystream/spdy"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/session"
)

// hasty is a server that gives its clients little time.
func hasty(f *testing.F) *fixture {
	f.Helper()
	limited := config
	limited.HeaderTimeout, limited.CreationTimeout = 200*time.Millisecond, 20*time.Millisecond
	return serve(f, limited)
}

// The upgrades, up to the token.
const (
	spdyHead      = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: "
	webSocketHead = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Protocol: "
)

// speak upgrades, sends raw bytes, says that no more comes, and waits for
// the server to be done with it.
func (f *fixture) speak(t *testing.T, url, head string, said []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", f.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	path := strings.TrimPrefix(url, "http://"+f.address)
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", path, head); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade gives %v, %v", response, err)
	}
	_ = response.Body.Close()
	_, _ = conn.Write(said) // the server may have enough of it
	_ = conn.(*net.TCPConn).CloseWrite()
	if _, err := io.Copy(io.Discard, reader); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("the server does not close the connection")
	}
	f.awaitNone(t)
}

// both are the requests for which sessions are fuzzed.
func (f *fixture) both(t *testing.T, forward bool) string {
	if forward {
		return f.forwardURL(t)
	}
	return f.url(t, session.Exec, &streamerv1.PrepareExecRequest{
		Container: &streamerv1.Container{Id: "c0"}, Cmd: []string{"cat"}, Tty: true, Stdin: true, Stdout: true,
	})
}

// FuzzSPDY sends raw SPDY.
func FuzzSPDY(f *testing.F) {
	exec := []spdy.Frame{
		syn(1, "streamType", "error"), syn(3, "streamType", "stdin"), syn(5, "streamType", "stdout"), syn(7, "streamType", "resize"),
		&spdy.DataFrame{StreamId: 7, Data: []byte(`{"Width":1,"Height":2}`)},
		&spdy.DataFrame{StreamId: 3, Data: []byte("hello"), Flags: spdy.DataFlagFin},
	}
	f.Add(frames(f, exec...), false)
	f.Add(frames(f, append(exec[:4:4], &spdy.RstStreamFrame{StreamId: 3, Status: spdy.Cancel}, &spdy.GoAwayFrame{})...), false)
	f.Add(frames(f, append(exec[:3:3], &spdy.RstStreamFrame{StreamId: 1, Status: spdy.Cancel}, &spdy.SynReplyFrame{StreamId: 3, Headers: http.Header{}})...), false)
	f.Add(frames(f, &spdy.SettingsFrame{}, &spdy.PingFrame{Id: 1}, &spdy.PingFrame{Id: 2}, &spdy.WindowUpdateFrame{StreamId: 1, DeltaWindowSize: 1}), false)
	f.Add(frames(f, append(exec[:4:4], &spdy.HeadersFrame{StreamId: 3, Headers: http.Header{"A": {"b"}}})...), false)
	f.Add(frames(f, syn(1, "streamType", "error", "port", "80", "requestID", "1"), syn(3, "streamType", "data", "port", "80", "requestID", "1"),
		&spdy.DataFrame{StreamId: 3, Data: []byte("hello"), Flags: spdy.DataFlagFin}), true)
	f.Add(frames(f, syn(1, "streamType", "error", "port", "81"), syn(3, "streamType", "data", "port", "81"), syn(5, "port", "x")), true)
	server := hasty(f)
	f.Fuzz(func(t *testing.T, said []byte, forward bool) {
		protocol := "v4.channel.k8s.io"
		if forward {
			protocol = "portforward.k8s.io"
		}
		server.speak(t, server.both(t, forward), spdyHead+protocol, said)
	})
}

// FuzzWebSocket sends raw WebSocket.
func FuzzWebSocket(f *testing.F) {
	protocols := []string{"v5.channel.k8s.io", "v4.base64.channel.k8s.io", "SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io"}
	f.Add([]byte{0x82, 0x86, 0, 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o', 0x82, 0x82, 0, 0, 0, 0, 255, 0}, uint8(0))
	f.Add([]byte{0x82, 0x82, 0, 0, 0, 0, 255, 9}, uint8(0))
	f.Add([]byte{0x81, 0x85, 0, 0, 0, 0, '0', 'a', '=', '?', '='}, uint8(1))
	f.Add([]byte{0x02, 0x81, 0, 0, 0, 0, 0, 0x80, 0x81, 0, 0, 0, 0, 'x', 0x89, 0x80, 0, 0, 0, 0, 0x88, 0x80, 0, 0, 0, 0}, uint8(0))
	f.Add([]byte{0x82, 0x05, 0, 'h', 'i'}, uint8(0))
	f.Add([]byte{0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 1}, uint8(0))
	f.Add(append([]byte{0x82, 0xfe, 0, 18, 0, 0, 0, 0}, frames(f, &spdy.PingFrame{Id: 1})...), uint8(2))
	f.Add([]byte{0x82, 0x83, 0, 0, 0, 0, 0, 'x', 'y'}, uint8(3))
	server := hasty(f)
	f.Fuzz(func(t *testing.T, said []byte, which uint8) {
		i := int(which) % (len(protocols) + 1)
		if i > 2 { // the older port-forward, in two of its protocols
			server.speak(t, server.forwardURL(t, 80, 82), webSocketHead+protocols[[]int{1, 3}[i-3]], said)
			return
		}
		server.speak(t, server.both(t, i > 1), webSocketHead+protocols[i], said)
	})
}

// FuzzChannels sends well-formed messages of any content.
func FuzzChannels(f *testing.F) {
	f.Add([]byte("\x00hello"), []byte("\xff\x00"), uint8(0))
	f.Add([]byte("\xff"), []byte("\xff\x05"), uint8(0))
	f.Add([]byte("0aGVsbG8="), []byte("4e30="), uint8(1))
	f.Add([]byte("\x04{"), []byte("\x04\"\"}{}"), uint8(2))
	server := hasty(f)
	f.Fuzz(func(t *testing.T, first, second []byte, which uint8) {
		protocol := []string{"v5.channel.k8s.io", "base64.channel.k8s.io", "channel.k8s.io", "v4.base64.channel.k8s.io"}[which%4]
		dialer := websocket.Dialer{Subprotocols: []string{protocol}}
		conn, _, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(server.both(t, false), "http"), nil) //nolint:bodyclose // the library has replaced it
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.WriteMessage(websocket.BinaryMessage, first)
		_ = conn.WriteMessage(websocket.TextMessage, second)
		_ = conn.WriteControl(websocket.CloseMessage, nil, time.Now().Add(time.Second))
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		for err = nil; err == nil; {
			_, _, err = conn.ReadMessage()
		}
		if strings.Contains(err.Error(), "timeout") {
			t.Error("the server does not close the connection")
		}
		server.awaitNone(t)
	})
}

// FuzzRequest sends any bytes where a request's head is expected. Nothing is
// opened by it, and the next client is served.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("GET /exec/x HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Add([]byte("GET /exec/x HTTP/1.1\r\nHost: x\r\n" + spdyHead + "v4.channel.k8s.io\r\n\r\n"))
	f.Add([]byte("GET /attach/../exec/%2e%2e HTTP/1.1\r\nHost: x\r\n" + webSocketHead + "\r\n\r\n"))
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	f.Add([]byte("\x16\x03\x01\x02\x00\x01\x00"))
	f.Add([]byte("POST /portforward/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nfffffffffffffffff\r\n"))
	server := hasty(f)
	good := server.execURL(f, false, "cat")
	f.Fuzz(func(t *testing.T, said []byte) {
		conn, err := net.Dial("tcp", server.address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = conn.Write(said)
		_ = conn.(*net.TCPConn).CloseWrite()
		answer, err := io.ReadAll(conn)
		if err != nil && strings.Contains(err.Error(), "timeout") {
			t.Error("the server does not close the connection")
		}
		if strings.Contains(string(answer), " 101 ") && !strings.Contains(string(said), good[len(good)-32:]) {
			t.Errorf("a session was opened: %q", answer)
		}
		server.awaitNone(t)
	})
}

// FuzzForwardStream opens a stream with any headers. It gets an answer, and
// the session goes on.
func FuzzForwardStream(f *testing.F) {
	f.Add("data", "80", "1")
	f.Add("error", "65536", "")
	f.Add("", "-1", "\x00")
	f.Add("data", "080", "1")
	server := hasty(f)
	f.Fuzz(func(t *testing.T, kind, port, id string) {
		conn := dialSPDY(t, server.forwardURL(t), "portforward.k8s.io")
		header := http.Header{"Streamtype": {kind}, "Port": {port}, "Requestid": {id}}
		if stream, err := conn.CreateStream(header); err == nil {
			_ = stream.Close()
			_, _ = io.Copy(io.Discard, stream)
		} else if len(kind)+len(port)+len(id) < 1000 {
			return // the client has not sent it, or the connection is over
		}
		_ = conn.Close()
		server.awaitNone(t)
	})
}

// FuzzToken: no path but that of the token opens a session, and only once.
func FuzzToken(f *testing.F) {
	f.Add("/exec/", "")
	f.Add("/exec//", "/")
	f.Add("/attach/", "?x")
	f.Add("/exec/%2e/", "%00")
	f.Add("/exec/../exec/", "#")
	server := hasty(f)
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.ContainsAny(before+after, " \r\n") {
			return
		}
		good := server.execURL(t, false, "say")
		token := good[strings.LastIndex(good, "/")+1:]
		conn, err := net.Dial("tcp", server.address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = fmt.Fprintf(conn, "POST %s%s%s HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", before, token, after, spdyHead+"v4.channel.k8s.io")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return // closed: worse than malformed
		}
		_ = response.Body.Close()
		_ = conn.Close()
		opened := response.StatusCode == http.StatusSwitchingProtocols
		path, _, _ := strings.Cut(before+token+after, "?")
		if exact := path == "/exec/"+token; opened && !exact && !strings.HasSuffix(path, token) {
			t.Errorf("%q opens a session", path)
		}
		if code, _ := upgrade(t, good, spdyUpgrade); opened && code != http.StatusNotFound {
			t.Errorf("the token opens a second session: %d", code)
		}
		server.awaitNone(t)
	})
}
