// Package metrics collects a process's metrics and serves them in
// Prometheus' format.
//
// Each member serves on a unix socket of its own in the state directory,
// whose name has its pid: while one drains, its successor serves beside it.
// The launcher finds the sockets by their names and serves all of them.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/trivet-cri/trivet/internal/rpc"
	"github.com/trivet-cri/trivet/internal/version"
)

// Path is where metrics are served.
const Path = "/metrics"

// requestLimit bounds what a client may take to send a request.
const requestLimit = 5 * time.Second

// New returns a registry with what every process has: the Go runtime, the
// process itself, its version and its gRPC calls.
func New() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	RegisterProcess(registry)
	return registry
}

// RegisterProcess registers what every process has.
func RegisterProcess(registerer prometheus.Registerer) {
	registerer.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "trivet_build_info", Help: "Always 1; the label is the version.",
			ConstLabels: prometheus.Labels{"version": version.String()},
		}, func() float64 { return 1 }),
	)
	registerer.MustRegister(rpc.Calls()...)
}

// Serve serves what g gathers until ctx ends. What cannot be gathered is
// logged and left out. It closes the listener.
func Serve(ctx context.Context, listener net.Listener, g prometheus.Gatherer, log *slog.Logger) error {
	errorLog := slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	mux := http.NewServeMux()
	mux.Handle("GET "+Path, promhttp.HandlerFor(g, promhttp.HandlerOpts{ErrorLog: errorLog, ErrorHandling: promhttp.ContinueOnError}))
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: requestLimit, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics on %s: %w", listener.Addr(), err)
	}
	return nil
}
