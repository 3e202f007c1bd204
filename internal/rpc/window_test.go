package rpc_test

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestNoPings: a call is its frames and no others. gRPC would measure the
// bandwidth with pings, one for each message and way.
func TestNoPings(t *testing.T) {
	t.Parallel()
	r := start(t, &service{attach: func(context.Context) error { return nil }}, time.Second)
	path := filepath.Join(t.TempDir(), "tap")
	sent := tap(t, path, r.path)
	conn := connect(t, path)
	for range 3 {
		if err := attach(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	const preface, data, ping = 24, 0, 6 // of HTTP/2: what a client begins with, types of frames
	requests, answers := sent()
	for who, bytes := range map[string][]byte{"client": requests[preface:], "server": answers} {
		kinds := frames(bytes)
		if kinds[data] < 3 || kinds[ping] > 0 {
			t.Errorf("%s: %d frames of data, %d pings", who, kinds[data], kinds[ping])
		}
	}
}

// frames counts the complete HTTP/2 frames by type.
func frames(bytes []byte) map[byte]int {
	const header = 9
	kinds := make(map[byte]int)
	for len(bytes) >= header {
		kinds[bytes[3]]++
		size := header + (int(bytes[0])<<16 | int(bytes[1])<<8 | int(bytes[2]))
		bytes = bytes[min(size, len(bytes)):]
	}
	return kinds
}

// tap passes one connection to path on to the socket at target. sent waits
// for its end and tells what both sides have said.
func tap(t *testing.T, path, target string) (sent func() (client, server []byte)) {
	t.Helper()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var said [2]sink
	var passing sync.WaitGroup
	passing.Go(func() {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = near.Close() }()
		far, err := net.Dial("unix", target)
		if err != nil {
			t.Error(err)
			return
		}
		passing.Go(func() {
			_, _ = io.Copy(io.MultiWriter(&said[1], near), far)
		})
		_, _ = io.Copy(io.MultiWriter(&said[0], far), near)
		_ = far.Close()
	})
	return func() (client, server []byte) {
		passing.Wait()
		return said[0], said[1]
	}
}

// sink keeps what is written to it.
type sink []byte

func (s *sink) Write(p []byte) (int, error) {
	*s = append(*s, p...)
	return len(p), nil
}
