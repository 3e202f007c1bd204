package server_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/trivet-cri/trivet/streamer/server"
	"github.com/trivet-cri/trivet/streamer/session"
)

// upgrade asks for a session and returns the answer's status and text.
func upgrade(t *testing.T, url string, headers map[string]string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range headers {
		request.Header.Set(k, v)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusSwitchingProtocols {
		return response.StatusCode, ""
	}
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

var spdyUpgrade = map[string]string{"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v4.channel.k8s.io"}

func TestTokens(t *testing.T) {
	t.Parallel()
	limited := config // for the client that only upgrades
	limited.CreationTimeout = 50 * time.Millisecond
	f := serve(t, limited)
	refused := func(what, url string) {
		t.Helper()
		if code, text := upgrade(t, url, spdyUpgrade); code != http.StatusNotFound || !strings.Contains(text, "once, within a minute") {
			t.Errorf("%s: %d %q", what, code, text)
		}
	}
	url := f.execURL(t, false, "cat")
	if code, _ := upgrade(t, url, nil); code != http.StatusBadRequest {
		t.Errorf("a plain request gets %d", code)
	}
	refused("token on another route", strings.Replace(url, "/exec/", "/attach/", 1))
	if code, _ := upgrade(t, url, spdyUpgrade); code != http.StatusSwitchingProtocols {
		t.Errorf("the token was used up: %d", code)
	}
	refused("used token", url)
	refused("unknown token", "http://"+f.address+"/exec/abcdefgh")
	url = f.execURL(t, false, "cat")
	f.clock.advance(session.TokenValidity)
	refused("expired token", url)
	for _, path := range []string{"/", "/exec", "/exec/", "/exec/a/b", "/metrics"} {
		if code, _ := upgrade(t, "http://"+f.address+path, spdyUpgrade); code != http.StatusNotFound {
			t.Errorf("%s gives %d", path, code)
		}
	}
}

func TestURLIsReachable(t *testing.T) {
	t.Parallel()
	for bind, want := range map[string]string{"127.0.0.1:0": "http://127.0.0.1:", "0.0.0.0:0": "http://127.0.0.1:", "[::1]:0": "http://[::1]:", "[::]:0": "http://127.0.0.1:"} {
		listener, err := net.Listen("tcp", bind)
		if err != nil {
			t.Fatal(err)
		}
		s := server.New(listener, config, server.Handlers{}, session.NewTokens(time.Now), session.NewSet(), slog.New(slog.DiscardHandler))
		url, err := s.URL(t.Context(), session.Exec, nil)
		if err != nil || !strings.HasPrefix(url, want) {
			t.Errorf("bound to %s: %s, %v", bind, url, err)
		}
		_ = listener.Close()
	}
}

// TestBase: clients see what the configuration says, and a proxy may hand
// paths on with or without their prefix.
func TestBase(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"https://node.example":           "https://node.example/exec/",
		"https://node.example:8443/cri/": "https://node.example:8443/cri/exec/",
		"http://[fd00::1]/a/b":           "http://[fd00::1]/a/b/exec/",
		"http://node.example:0":          "http://node.example:PORT/exec/",
	} {
		parsed, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		behind := config
		behind.Base = parsed
		f := serve(t, behind)
		_, port, _ := net.SplitHostPort(f.address)
		want = strings.Replace(want, "PORT", port, 1)
		for _, strip := range []bool{false, true} {
			got := f.execURL(t, false, "say")
			if !strings.HasPrefix(got, want) {
				t.Errorf("below %s the URL is %s", base, got)
			}
			seen, err := url.Parse(got)
			if err != nil {
				t.Fatal(err)
			}
			if strip {
				seen.Path = strings.TrimPrefix(seen.Path, strings.TrimSuffix(parsed.Path, "/"))
			}
			s := openSPDY(t, "http://"+f.address+seen.Path, false)
			if got := text(t, s.out); got != "said" {
				t.Errorf("below %s: output %q", base, got)
			}
		}
		if code, _ := upgrade(t, "http://"+f.address+"/other/exec/x", spdyUpgrade); code != http.StatusNotFound {
			t.Errorf("another prefix gives %d", code)
		}
	}
}

// TestSilentConnection: whoever connects and says nothing, or never comes to
// the end of the headers, is cut off.
func TestSilentConnection(t *testing.T) {
	t.Parallel()
	limited := config
	limited.HeaderTimeout = 100 * time.Millisecond
	f := serve(t, limited)
	for _, said := range []string{"", "POST /exec/x HTTP/1.1\r\nHost: x\r\n"} {
		conn, err := net.Dial("tcp", f.address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, said)
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("after %q the connection stays open", said)
		}
		_ = conn.Close()
	}
}

func TestGiantHeader(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	conn, err := net.Dial("tcp", f.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	go func() {
		_, _ = fmt.Fprintf(conn, "POST /exec/x HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 1<<20))
	}()
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 431" {
		t.Errorf("answer %q, error %v", answer, err)
	}
}
