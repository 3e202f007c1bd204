package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/telemetry"
)

// Tests here do not run in parallel: the tracer provider is the process's.

// record installs a provider that keeps every span.
func record(t *testing.T) *tracetest.SpanRecorder {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)))
	t.Cleanup(func() { otel.SetTracerProvider(noop.NewTracerProvider()) })
	return recorder
}

func TestSpanRecordsTheErrorAndReturnsIt(t *testing.T) {
	recorder := record(t)
	boom := errors.New("boom")
	err := telemetry.Span(t.Context(), "cni ADD", func(ctx context.Context) error {
		telemetry.Pod(ctx, "p1", "default", "web", "u1")
		telemetry.Container(ctx, "c1", "app")
		return telemetry.Span(ctx, "plugin", func(context.Context) error { return boom })
	}, attribute.String("network", "pods"))
	if !errors.Is(err, boom) {
		t.Errorf("returned %v", err)
	}
	if err := telemetry.Span(t.Context(), "fine", func(context.Context) error { return nil }); err != nil {
		t.Error(err)
	}
	spans := recorder.Ended()
	if len(spans) != 3 {
		t.Fatalf("%d spans", len(spans))
	}
	plugin, add, fine := spans[0], spans[1], spans[2]
	if plugin.Name() != "plugin" || plugin.Parent().SpanID() != add.SpanContext().SpanID() {
		t.Errorf("span %q has parent %s", plugin.Name(), plugin.Parent().SpanID())
	}
	if s := plugin.Status(); s.Code != codes.Error || s.Description != "boom" || len(plugin.Events()) != 1 {
		t.Errorf("status %v, events %v", s, plugin.Events())
	}
	if s := fine.Status(); s.Code != codes.Unset || len(fine.Events()) != 0 {
		t.Errorf("without an error: status %v, events %v", s, fine.Events())
	}
	got := make(map[string]string)
	for _, a := range add.Attributes() {
		got[string(a.Key)] = a.Value.AsString()
	}
	for key, want := range map[string]string{
		"network": "pods", "trivet.pod.id": "p1", "k8s.namespace.name": "default", "k8s.pod.name": "web",
		"k8s.pod.uid": "u1", "container.id": "c1", "k8s.container.name": "app",
	} {
		if got[key] != want {
			t.Errorf("attribute %s is %q, want %q", key, got[key], want)
		}
	}
}

func TestLogRecordsLeadToTheirTrace(t *testing.T) {
	record(t)
	var out lockedBuffer
	log, err := telemetry.Logger(&out, config.Log{Level: "info", Format: "json"}, "trivet-test")
	if err != nil {
		t.Fatal(err)
	}
	var span trace.SpanContext
	_ = telemetry.Span(t.Context(), "work", func(ctx context.Context) error {
		span = trace.SpanContextFromContext(ctx)
		log.With(telemetry.ContainerFields("c1", "app")...).With(telemetry.PodFields("p1", "default", "web", "u1")...).InfoContext(ctx, "inside")
		log.DebugContext(ctx, "below the level")
		return nil
	})
	log.InfoContext(t.Context(), "outside")
	decoder := json.NewDecoder(strings.NewReader(out.String()))
	var inside, outside map[string]any
	if err := errors.Join(decoder.Decode(&inside), decoder.Decode(&outside)); err != nil {
		t.Fatal(err)
	}
	if decoder.More() {
		t.Error("more lines than the level lets pass")
	}
	for key, want := range map[string]any{
		"msg": "inside", "service": "trivet-test",
		"pod_id": "p1", "pod_namespace": "default", "pod_name": "web", "pod_uid": "u1", "container_id": "c1", "container_name": "app",
		"trace_id": span.TraceID().String(), "span_id": span.SpanID().String(),
	} {
		if inside[key] != want {
			t.Errorf("%s is %v, want %v", key, inside[key], want)
		}
	}
	if outside["trace_id"] != nil || outside["service"] != "trivet-test" {
		t.Errorf("outside a span: %v", outside)
	}
}

func TestLoggerFormats(t *testing.T) {
	var out lockedBuffer
	log, err := telemetry.Logger(&out, config.Log{Level: "warn", Format: "text"}, "trivet-test")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud")
	if got := out.String(); !strings.Contains(got, "level=WARN msg=loud service=trivet-test") || strings.Contains(got, "quiet") {
		t.Errorf("wrote %q", got)
	}
	if _, err := telemetry.Logger(&out, config.Log{Level: "loud"}, "x"); err == nil || !strings.Contains(err.Error(), `log level "loud"`) {
		t.Errorf("error is %v", err)
	}
}

func TestOffByDefault(t *testing.T) {
	flush, err := telemetry.Start(t.Context(), config.Default().Tracing, "trivet-test", "1")
	if err != nil {
		t.Fatal(err)
	}
	defer flush()
	_ = telemetry.Span(t.Context(), "x", func(ctx context.Context) error {
		if trace.SpanFromContext(ctx).IsRecording() {
			t.Error("a span is recorded")
		}
		return nil
	})
	// A client's trace passes through all the same.
	carrier := propagation.MapCarrier{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	ctx := otel.GetTextMapPropagator().Extract(t.Context(), carrier)
	out := propagation.MapCarrier{}
	otel.GetTextMapPropagator().Inject(ctx, out)
	if out["traceparent"] != carrier["traceparent"] {
		t.Errorf("passed on: %v", out)
	}
}

func TestSpansReachTheCollector(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	exports := make(chan string, 10)
	collector := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		exports <- method
		return nil
	}))
	served := make(chan error, 1)
	go func() { served <- collector.Serve(listener) }()
	defer func() {
		collector.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()

	flush := start(t, listener.Addr().String(), 1)
	work(t, 1)
	flush()
	select {
	case method := <-exports:
		if method != "/opentelemetry.proto.collector.trace.v1.TraceService/Export" {
			t.Errorf("called %s", method)
		}
	default:
		t.Error("flush returned before the spans were sent")
	}
}

func TestSampleRatioZeroRecordsNothing(t *testing.T) {
	flush := start(t, "127.0.0.1:1", 0)
	defer flush()
	_ = telemetry.Span(t.Context(), "x", func(ctx context.Context) error {
		if trace.SpanContextFromContext(ctx).IsSampled() {
			t.Error("a span is sampled")
		}
		return nil
	})
}

// Work goes on at full speed while nobody answers at the endpoint, the end
// of the process is late by little, and the log is not flooded.
func TestUnreachableCollectorCostsNothing(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connects, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	for name, endpoint := range map[string]string{"refused": "127.0.0.1:1", "silent": silent.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			out := &lockedBuffer{written: make(chan struct{})}
			if _, err := telemetry.Logger(out, config.Log{Level: "info"}, "trivet-test"); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			flush := start(t, endpoint, 1)
			work(t, 10000) // more than the queue holds
			if took := time.Since(begin); took > 2*time.Second {
				t.Errorf("10000 spans took %s", took)
			}
			begin = time.Now()
			flush()
			if took := time.Since(begin); took > 1500*time.Millisecond {
				t.Errorf("the end took %s", took)
			}
			otel.Handle(errors.New("again"))
			// The one who complains may be a goroutine of the library's that has
			// not come to write yet.
			select {
			case <-out.written:
			case <-time.After(10 * time.Second):
			}
			if lines := strings.Count(out.String(), "\n"); lines != 1 || !strings.Contains(out.String(), "traces are not exported") {
				t.Errorf("log has %d lines:\n%s", lines, out.String())
			}
		})
	}
}

// lockedBuffer is a log that the library's goroutines may still write to.
type lockedBuffer struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{} // closed with the first line; may be nil
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.written != nil && b.text.Len() == 0 {
		close(b.written)
	}
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func start(t *testing.T, endpoint string, ratio float64) func() {
	t.Helper()
	flush, err := telemetry.Start(t.Context(), config.Tracing{Endpoint: endpoint, Insecure: true, SampleRatio: ratio}, "trivet-test", "1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { otel.SetTracerProvider(noop.NewTracerProvider()) })
	return flush
}

func work(t *testing.T, spans int) {
	t.Helper()
	for range spans {
		_ = telemetry.Span(t.Context(), "work", func(context.Context) error { return nil })
	}
}
