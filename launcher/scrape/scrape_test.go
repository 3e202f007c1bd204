package scrape_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"go.uber.org/goleak"

	"github.com/trivet-cri/trivet/internal/metrics"
	"github.com/trivet-cri/trivet/launcher/scrape"
	"github.com/trivet-cri/trivet/launcher/supervisor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// group is one whose streamer runs twice: pid 12 drains.
type group struct{}

func (group) Snapshot() supervisor.Snapshot {
	return supervisor.Snapshot{Generation: 3, Restarts: 2, Members: []supervisor.MemberStatus{
		{Name: "netsync", PID: 10, State: supervisor.Serving},
		{Name: "streamer", PID: 11, State: supervisor.Serving, Restarts: 1},
		{Name: "runtime", State: supervisor.BackingOff, Restarts: 4},
	}}
}

// bind makes a process's socket.
func bind(t *testing.T, state, name string) net.Listener {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(state, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// member serves a gauge called x with a value.
func member(t *testing.T, state, name string, value float64) {
	t.Helper()
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "x", Help: "H."}, []string{"a", "z"})
	gauge.WithLabelValues("1", "2").Set(value)
	registry := prometheus.NewRegistry()
	registry.MustRegister(gauge)
	listener := bind(t, state, name)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- metrics.Serve(ctx, listener, registry, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func gather(t *testing.T, state string) string {
	t.Helper()
	families, err := scrape.New(state, group{}, slog.New(slog.DiscardHandler)).Gather()
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

// TestGather: every process's metrics have its labels; who hangs or talks
// nonsense is left out within a second or so.
func TestGather(t *testing.T) {
	t.Parallel()
	state, err := os.MkdirTemp("", "trivet-") //nolint:usetesting // a socket's path must fit in 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(state) })
	member(t, state, "streamer-11-metrics.sock", 1.5)
	member(t, state, "streamer-12-metrics.sock", 2)
	bind(t, state, "netsync-10-metrics.sock") // never accepts
	odd := bind(t, state, "runtime-9-metrics.sock")
	go func() {
		if conn, err := odd.Accept(); err == nil {
			_, _ = fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\r\nx{ 1 nonsense\n")
			_ = conn.Close()
		}
	}()
	begun := time.Now()
	text := gather(t, state)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	pid := fmt.Sprint(os.Getpid())
	for _, line := range []string{
		`x{a="1",member="streamer",pid="11",z="2"} 1.5`,
		`x{a="1",member="streamer",pid="12",z="2"} 2`,
		`trivet_member_up{member="netsync"} 0`,
		`trivet_member_up{member="streamer"} 1`,
		`trivet_member_up{member="runtime"} 0`,
		`trivet_launcher_generation 3`,
		`trivet_launcher_group_restarts_total 2`,
		`trivet_launcher_member_restarts_total{member="runtime"} 4`,
		`trivet_launcher_member_state{member="runtime",state="backoff"} 1`,
		`trivet_launcher_member_state{member="runtime",state="serving"} 0`,
		`go_goroutines{member="launcher",pid="` + pid + `"}`,
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
	if strings.Count(text, "\nx{") != 2 {
		t.Errorf("more than streamer's:\n%s", text)
	}
}

func TestGatherWithoutStateDirectory(t *testing.T) {
	t.Parallel()
	families, err := scrape.New("/nowhere", group{}, slog.New(slog.DiscardHandler)).Gather()
	if err == nil || len(families) == 0 {
		t.Errorf("%d families, error %v", len(families), err)
	}
}
