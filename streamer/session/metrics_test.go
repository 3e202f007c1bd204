package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/session"
)

func scrape(t *testing.T, s *session.Set) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s.Metrics())
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}

func expect(t *testing.T, s *session.Set, lines ...string) {
	t.Helper()
	text := scrape(t, s)
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
}

// TestBytesOutliveTheirSession: a sum never goes down.
func TestBytesOutliveTheirSession(t *testing.T) {
	t.Parallel()
	s := session.NewSet()
	expect(t, s, `trivet_streamer_sessions_open{kind="exec"} 0`, `trivet_streamer_session_bytes_total{direction="in",kind="exec"} 0`)
	_, opened := begin(t, s, "a")
	for _, from := range []io.Reader{strings.NewReader("hel"), struct{ io.Reader }{strings.NewReader("lo")}} { // one writes itself
		if _, err := io.Copy(opened.Writer(io.Discard), opened.Reader(from)); err != nil {
			t.Fatal(err)
		}
	}
	moved := []string{
		`trivet_streamer_session_bytes_total{direction="in",kind="exec"} 5`,
		`trivet_streamer_session_bytes_total{direction="out",kind="exec"} 5`,
	}
	expect(t, s, append(moved, `trivet_streamer_sessions_open{kind="exec"} 1`)...)
	opened.End(nil)
	expect(t, s, append(moved, `trivet_streamer_sessions_open{kind="exec"} 0`,
		`trivet_streamer_sessions_total{kind="exec",result="ok"} 1`,
		`trivet_streamer_session_duration_seconds_count{kind="exec"} 1`)...)
}

func TestResults(t *testing.T) {
	t.Parallel()
	s := session.NewSet()
	for want, err := range map[string]error{
		"ok":          nil,
		"exit_code":   session.ErrExitCode,
		"stopped":     fmt.Errorf("killed: %w", session.ErrStopping),
		"idle":        fmt.Errorf("%w for 4h", session.ErrIdle),
		"client_left": fmt.Errorf("killed: %w", session.ErrGone),
		"timeout":     context.DeadlineExceeded,
		"failed":      errors.New("boom"),
	} {
		_, opened, beginning := s.Begin(t.Context(), session.Info{Kind: session.ExecSync, Subject: &streamerv1.Container{Id: "a"}})
		if beginning != nil {
			t.Fatal(beginning)
		}
		opened.End(err)
		expect(t, s,
			fmt.Sprintf(`trivet_streamer_sessions_total{kind="execsync",result=%q} 1`, want),
			fmt.Sprintf(`trivet_streamer_exec_sync_duration_seconds_count{result=%q} 1`, want))
	}
}

func TestForwardedConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	s := session.NewSet()
	_, opened, err := s.Begin(t.Context(), session.Info{Kind: session.PortForward})
	if err != nil {
		t.Fatal(err)
	}
	near, far := io.Pipe()
	for range 2 {
		opened.Connection(struct {
			io.Reader
			io.WriteCloser
		}{near, far})
	}
	opened.End(nil)
	expect(t, s, `trivet_streamer_forwarded_connections_total 2`)
}
