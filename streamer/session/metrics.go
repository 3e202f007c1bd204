package session

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Why sessions end that nothing is wrong with. Errors of those that End is
// called with are told by them.
var (
	// ErrGone is the cause when the client has left.
	ErrGone = errors.New("the client has left")
	// ErrIdle is the cause when nothing has moved.
	ErrIdle = errors.New("the session had no traffic")
	// ErrExitCode is how an ExecSync ends whose command has failed.
	ErrExitCode = errors.New("the exit code is not 0")
)

// result is the label for how a session has ended.
func result(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrExitCode):
		return "exit_code"
	case errors.Is(err, ErrStopping):
		return "stopped"
	case errors.Is(err, ErrIdle):
		return "idle"
	case errors.Is(err, ErrGone), errors.Is(err, context.Canceled):
		return "client_left"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "failed"
}

var (
	openDesc = prometheus.NewDesc("trivet_streamer_sessions_open",
		"Sessions that are open.", []string{"kind"}, nil)
	bytesDesc = prometheus.NewDesc("trivet_streamer_session_bytes_total",
		"Bytes that sessions have moved: in to the container, out to the client.", []string{"kind", "direction"}, nil)
	connectionsDesc = prometheus.NewDesc("trivet_streamer_forwarded_connections_total",
		"Connections that port-forwards have begun.", nil, nil)
)

// counts are what is known of sessions that have ended.
type counts struct {
	moved     map[Kind]Traffic // under the set's lock
	ended     *prometheus.CounterVec
	lasted    *prometheus.HistogramVec
	execSyncs *prometheus.HistogramVec
}

func newCounts() counts {
	return counts{
		moved: make(map[Kind]Traffic),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trivet_streamer_sessions_total", Help: "Sessions that have ended.",
		}, []string{"kind", "result"}),
		lasted: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "trivet_streamer_session_duration_seconds", Help: "How long exec, attach and port-forward sessions have lasted.",
			Buckets: []float64{.1, 1, 10, 60, 300, 1800, 7200, 28800},
		}, []string{"kind"}),
		execSyncs: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "trivet_streamer_exec_sync_duration_seconds", Help: "How long ExecSyncs have taken, probes above all.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"result"}),
	}
}

// note counts a session that has ended.
func (c *counts) note(info Info, err error) {
	how, took := result(err), time.Since(info.Started).Seconds()
	c.ended.WithLabelValues(string(info.Kind), how).Inc()
	if info.Kind == ExecSync {
		c.execSyncs.WithLabelValues(how).Observe(took)
		return
	}
	c.lasted.WithLabelValues(string(info.Kind)).Observe(took)
}

// Metrics are those of the set's sessions.
func (s *Set) Metrics() prometheus.Collector { return collector{s} }

type collector struct{ set *Set }

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	to <- openDesc
	to <- bytesDesc
	to <- connectionsDesc
	c.set.counts.ended.Describe(to)
	c.set.counts.lasted.Describe(to)
	c.set.counts.execSyncs.Describe(to)
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	open, moved := c.set.totals()
	for _, kind := range []Kind{Exec, Attach, PortForward, ExecSync} {
		name := string(kind)
		to <- prometheus.MustNewConstMetric(openDesc, prometheus.GaugeValue, float64(open[kind]), name)
		to <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(moved[kind].In), name, "in")
		to <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(moved[kind].Out), name, "out")
	}
	to <- prometheus.MustNewConstMetric(connectionsDesc, prometheus.CounterValue, float64(moved[PortForward].Connections))
	c.set.counts.ended.Collect(to)
	c.set.counts.lasted.Collect(to)
	c.set.counts.execSyncs.Collect(to)
}

// totals counts the open sessions, and what all have moved: what an open one
// has moved is not lost from the sums when it ends.
func (s *Set) totals() (open map[Kind]int, moved map[Kind]Traffic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	open, moved = make(map[Kind]int), make(map[Kind]Traffic)
	for kind, of := range s.counts.moved {
		moved[kind] = of
	}
	for session := range s.open {
		info := session.Info()
		open[info.Kind]++
		moved[info.Kind] = moved[info.Kind].plus(info.Traffic)
	}
	return open, moved
}
