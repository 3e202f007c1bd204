package server_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// dialProtocol upgrades to WebSocket with protocols of the client's choice.
func dialProtocol(t *testing.T, url string, protocols ...string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: protocols}
	conn, response, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(url, "http"), nil)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, response, err
}

// decoded undoes base64 of a channel's messages.
func decoded(t *testing.T, conn *websocket.Conn) map[byte]string {
	t.Helper()
	got := make(map[byte]string)
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil {
			return got
		}
		data, err := base64.StdEncoding.DecodeString(string(message[1:]))
		if err != nil || kind != websocket.TextMessage {
			t.Errorf("message %q of kind %d: %v", message, kind, err)
		}
		got[message[0]-'0'] += string(data)
	}
}

// TestWebSocketProtocols: all names, with what each can.
func TestWebSocketProtocols(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	for name, test := range map[string]struct {
		ask                           []string
		base64, exitCodes, halfCloses bool
	}{
		"v5.channel.k8s.io":        {ask: []string{"v5.channel.k8s.io"}, exitCodes: true, halfCloses: true},
		"v4.channel.k8s.io":        {ask: []string{"v9.channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io"}, exitCodes: true},
		"v4.base64.channel.k8s.io": {ask: []string{"v4.base64.channel.k8s.io"}, exitCodes: true, base64: true},
		"channel.k8s.io":           {ask: []string{"channel.k8s.io"}},
		"base64.channel.k8s.io":    {ask: []string{"base64.channel.k8s.io"}, base64: true},
		"":                         {},
	} {
		for command, code := range map[string]string{"say": "0", "fail": "7"} {
			conn, _, err := dialProtocol(t, f.execURL(t, false, command), test.ask...) //nolint:bodyclose // the library has replaced it
			if err != nil {
				t.Errorf("%q: %v", name, err)
				continue
			}
			if conn.Subprotocol() != name {
				t.Errorf("%q was chosen instead of %q", conn.Subprotocol(), name)
			}
			var got map[byte]string
			if test.base64 {
				got = decoded(t, conn)
			} else {
				got = channels(conn)
			}
			if test.exitCodes && exitCode(t, got[3]) != code || !test.exitCodes && (got[3] != "") != (code == "7") {
				t.Errorf("%q: status of %s is %q", name, command, got[3])
			}
			if command == "say" && got[1] != "said" || command == "fail" && got[2] != "no such thing" {
				t.Errorf("%q: %s gives %q", name, command, got)
			}
		}
		if !test.halfCloses {
			continue
		}
		conn, _, err := dialProtocol(t, f.execURL(t, false, "cat"), test.ask...) //nolint:bodyclose // the library has replaced it
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.WriteMessage(websocket.BinaryMessage, []byte("\x00over and back"))
		_ = conn.WriteMessage(websocket.BinaryMessage, []byte{255, 0})
		if got := channels(conn); got[1] != "over and back" || exitCode(t, got[3]) != "0" {
			t.Errorf("%q: got %q", name, got)
		}
	}
	_, response, err := dialProtocol(t, f.execURL(t, false, "cat"), "v6.channel.k8s.io") //nolint:bodyclose // the library has replaced it
	if err == nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("an unknown protocol: %v, %v", response, err)
	}
	_, response, err = dialProtocol(t, f.forwardURL(t), "SPDY/3.1+other.k8s.io") //nolint:bodyclose // the library has replaced it
	if err == nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("an unknown tunnel: %v, %v", response, err)
	}
}

// TestForwardBase64 is the older port-forward for clients of text.
func TestForwardBase64(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	conn, _, err := dialProtocol(t, f.forwardURL(t, 82, 81), "v4.base64.channel.k8s.io") //nolint:bodyclose // the library has replaced it
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.WriteMessage(websocket.TextMessage, []byte("0"+base64.StdEncoding.EncodeToString([]byte("ping"))))
	if got := decoded(t, conn); got[0] != "\x52\x00PING" || !strings.Contains(got[3], "port 81 refused") {
		t.Errorf("got %q", got)
	}
}

// TestMalformedMessages end the session with a protocol error that says why.
func TestMalformedMessages(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	for message, protocol := range map[string]string{
		"\xff":             "v5.channel.k8s.io",
		"\xff\x05":         "v5.channel.k8s.io",
		"\xff\x00\x00":     "v5.channel.k8s.io",
		"0not base64 ??? ": "v4.base64.channel.k8s.io",
	} {
		conn, _, err := dialProtocol(t, f.execURL(t, false, "cat"), protocol) //nolint:bodyclose // the library has replaced it
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.WriteMessage(websocket.BinaryMessage, []byte(message))
		for err = nil; err == nil; {
			_, _, err = conn.ReadMessage()
		}
		var ended *websocket.CloseError
		if !errors.As(err, &ended) || ended.Code != websocket.CloseProtocolError || !strings.Contains(ended.Text, "malformed message") {
			t.Errorf("%q: %v", message, err)
		}
		f.awaitNone(t)
	}
}
