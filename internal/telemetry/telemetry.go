// Package telemetry wires logs and traces, once for each process.
//
// Tracing that is switched off costs a no-op span; an endpoint that does not
// answer costs dropped spans and nothing else.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/trivet-cri/trivet/internal/config"
)

// flushTimeout bounds how long a process waits at its end for its last spans.
const flushTimeout = time.Second

// Start installs the global tracer provider and the W3C propagator. service
// is the name in traces. The returned function flushes and stops.
func Start(ctx context.Context, cfg config.Tracing, service, version string) (func(), error) {
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	if cfg.Endpoint == "" {
		return func() {}, nil
	}
	options := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(cfg.Endpoint)}
	if cfg.Insecure {
		options = append(options, otlptracegrpc.WithInsecure())
	}
	exporter, err := otlptracegrpc.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("trace exporter for %s: %w", cfg.Endpoint, err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(time.Second)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.SampleRatio))),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", service),
			attribute.String("service.version", version),
		)),
	)
	otel.SetTracerProvider(provider)
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
		defer cancel()
		// An unreachable collector is not this process's failure. The provider
		// leaves its exporter running when time is up.
		_ = provider.Shutdown(ctx)
		_ = exporter.Shutdown(ctx)
	}, nil
}

// Logger returns the process's logger: structured, to w, with the trace and
// span id of the context that a record is logged with. Trouble with traces
// goes there, too, at most a line a minute.
func Logger(w io.Writer, cfg config.Log, service string) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		return nil, fmt.Errorf("log level %q: %w", cfg.Level, err)
	}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if cfg.Format == "json" {
		handler = slog.NewJSONHandler(w, options)
	}
	log := slog.New(traceHandler{handler}).With("service", service)
	complainTo(log)
	return log, nil
}
