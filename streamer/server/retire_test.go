package server_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/trivet-cri/trivet/streamer/server"
	"github.com/trivet-cri/trivet/streamer/session"
)

func refused(t *testing.T, address string) {
	t.Helper()
	if conn, err := net.Dial("tcp", address); err == nil {
		_ = conn.Close()
		t.Error("still accepts")
	}
}

// TestRetire: a session goes on, and the server ends after it.
func TestRetire(t *testing.T) {
	t.Parallel()
	c := &commands{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{commands: c, sessions: session.NewSet(), address: listener.Addr().String()}
	f.Server = server.New(listener, config, server.Handlers{Exec: c, Attach: c, Forward: c}, session.NewTokens(time.Now), f.sessions, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- f.Serve(context.Background()) }()
	s := openSPDY(t, f.execURL(t, false, "cat"), false)
	if _, err := io.WriteString(s.stdin, "before "); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := f.Retire(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("retired after %s", time.Since(begun))
	refused(t, f.address)
	if _, err := io.WriteString(s.stdin, "after"); err != nil {
		t.Error(err)
	}
	select {
	case err := <-served:
		t.Fatalf("the server ended before its session: %v", err)
	default:
	}
	_ = s.stdin.Close()
	if got := text(t, s.out); got != "before after" {
		t.Errorf("got %q", got)
	}
	if err := within(t, "end of the server", served); err != nil {
		t.Error(err)
	}
}

// TestRetiredAndStopped: a session that outlives its time is told so.
func TestRetiredAndStopped(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	s := openSPDY(t, f.execURL(t, false, "hang"), false)
	within(t, "session", f.begun)
	if err := f.Retire(t.Context()); err != nil {
		t.Fatal(err)
	}
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
}
