package harness

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/metadata"
)

// TraceService is the service whose span is the root of a Trace.
const TraceService = "client"

// Trace is a trace of a client's: its calls are below one span, as those of a
// kubelet are.
type Trace struct {
	ID       string
	provider *sdktrace.TracerProvider
	end      func()
}

// StartTrace begins a trace in the lab's Jaeger with a span of that name. The
// returned context's calls belong to it. End sends the span.
func (l *Lab) StartTrace(ctx context.Context, name string) (context.Context, *Trace, error) {
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(l.JaegerOTLP), otlptracegrpc.WithInsecure())
	if err != nil {
		return nil, nil, fmt.Errorf("start trace: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", TraceService))))
	_, span := provider.Tracer("harness").Start(ctx, name)
	of := span.SpanContext()
	parent := fmt.Sprintf("00-%s-%s-%s", of.TraceID(), of.SpanID(), of.TraceFlags())
	return metadata.AppendToOutgoingContext(ctx, "traceparent", parent),
		&Trace{ID: of.TraceID().String(), provider: provider, end: func() { span.End() }}, nil
}

// End ends the root span and sends it.
func (t *Trace) End() error {
	t.end()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the root of trace %s: %w", t.ID, err)
	}
	return nil
}
