package server_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// silent opens connections that say nothing, or what is given.
func silent(t *testing.T, address string, n int, said string) []net.Conn {
	t.Helper()
	var conns []net.Conn
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = io.WriteString(conn, said)
		conns = append(conns, conn)
	}
	return conns
}

// closed tells whether the server has closed a connection; wait is how long
// it may take.
func closed(conn net.Conn, wait time.Duration) bool {
	_ = conn.SetReadDeadline(time.Now().Add(wait))
	_, err := io.Copy(io.Discard, conn)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// TestThousandsOfSilentConnections: those that have waited longest go, also
// if they have begun to speak; sessions, and whoever says what it wants, see
// nothing of it.
func TestThousandsOfSilentConnections(t *testing.T) {
	t.Parallel()
	limited := config
	limited.WaitingLimit = 50
	limited.HeaderTimeout = time.Minute
	f := serve(t, limited)
	session := openSPDY(t, f.execURL(t, false, "cat"), false)
	first := silent(t, f.address, 1, "")[0]
	slow := silent(t, f.address, 1, "POST /exec/x HTTP/1.1\r\nHost: x\r\n")[0]
	silent(t, f.address, 1500, "")
	if !closed(first, 10*time.Second) || !closed(slow, 10*time.Second) {
		t.Error("the longest waiting are still open")
	}
	s := openSPDY(t, f.execURL(t, false, "say"), false)
	if got := text(t, s.out); got != "said" {
		t.Errorf("a new session says %q", got)
	}
	_, _ = io.WriteString(session.stdin, "still here")
	_ = session.stdin.Close()
	if got := text(t, session.out); got != "still here" {
		t.Errorf("the old session says %q", got)
	}
}

// TestLobbyIsFair: the host that has most loses, not the longest waiting of all.
func TestLobbyIsFair(t *testing.T) {
	t.Parallel()
	limited := config
	limited.WaitingLimit = 10
	limited.HeaderTimeout = time.Minute
	f := serve(t, limited)
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	patient, err := from.DialContext(t.Context(), "tcp", f.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = patient.Close() }()
	many := silent(t, f.address, 30, "")
	if !closed(many[0], 10*time.Second) {
		t.Error("the host with most has lost none")
	}
	if closed(patient, 50*time.Millisecond) {
		t.Error("the host with one has lost it")
	}
	for _, conn := range many[21:] {
		if closed(conn, 50*time.Millisecond) {
			t.Error("one of the newest is closed")
		}
	}
}

// TestKeptConnection: one that is kept for another request waits, too, and
// gets its answers.
func TestKeptConnection(t *testing.T) {
	t.Parallel()
	limited := config
	limited.WaitingLimit = 1
	f := serve(t, limited)
	client := &http.Client{Transport: new(http.Transport)}
	for range 3 {
		response, err := client.Get("http://" + f.address + "/nothing")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusNotFound {
			t.Errorf("status %s", response.Status)
		}
	}
	client.CloseIdleConnections()
}

// TestBodyThatDoesNotCome: a request that is refused does not hold its
// connection until the body has come.
func TestBodyThatDoesNotCome(t *testing.T) {
	t.Parallel()
	limited := config
	limited.HeaderTimeout = 100 * time.Millisecond
	f := serve(t, limited)
	for _, path := range []string{"/exec/x", "/nothing"} {
		conn := silent(t, f.address, 1, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")[0]
		if !closed(conn, 10*time.Second) {
			t.Errorf("%s: the connection stays open", path)
		}
	}
}

// TestNothingIsLeft opens many sessions of all kinds of misbehaviour and
// counts the file descriptors of this process afterwards. It is not parallel.
func TestNothingIsLeft(t *testing.T) {
	limited := config
	limited.HeaderTimeout, limited.CreationTimeout = 50*time.Millisecond, 50*time.Millisecond
	before := descriptors(t)
	t.Cleanup(func() { // after all others
		deadline := time.Now().Add(20 * time.Second)
		for descriptors(t) > before && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		if after := descriptors(t); after > before {
			t.Errorf("%d file descriptors are open, %d were before", after, before)
		}
	})
	f := serve(t, limited)
	for range 20 {
		silent(t, f.address, 5, "")
		silent(t, f.address, 5, "GET /exec/x HTTP/1.1\r\n")
		silent(t, f.address, 1, "\x16\x03\x01garbage")
		path := strings.TrimPrefix(f.execURL(t, false, "cat"), "http://"+f.address)
		silent(t, f.address, 1, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n", path))
		_ = dialWebSocket(t, f.execURL(t, false, "cat")).UnderlyingConn().Close()
		_ = dialSPDY(t, f.execURL(t, false, "cat"), "v4.channel.k8s.io").Close()
	}
	f.awaitNone(t)
}

// awaitNone waits until no session is open.
func (f *fixture) awaitNone(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for len(f.sessions.List()) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("sessions are left: %v", f.sessions.List())
		}
		time.Sleep(time.Millisecond)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
