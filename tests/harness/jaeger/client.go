// Package jaeger reads traces from Jaeger's query API.
package jaeger

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Client asks one Jaeger.
type Client struct {
	// URL is the base, for example http://127.0.0.1:16686.
	URL string
}

// Span is one span of a trace.
type Span struct {
	ID        string
	Parent    string // empty for a root
	Service   string
	Operation string
	Start     time.Time
	Duration  time.Duration
	Tags      map[string]string
}

// Trace is one trace, its spans by start time.
type Trace struct {
	ID    string
	Spans []Span
}

// The query API's JSON, as far as it is read.
type (
	reply struct {
		Data   []traceJSON `json:"data"`
		Errors []struct {
			Message string `json:"msg"`
		} `json:"errors"`
	}
	traceJSON struct {
		TraceID   string                 `json:"traceID"`
		Spans     []spanJSON             `json:"spans"`
		Processes map[string]processJSON `json:"processes"`
	}
	processJSON struct {
		ServiceName string `json:"serviceName"`
	}
	spanJSON struct {
		SpanID        string `json:"spanID"`
		OperationName string `json:"operationName"`
		ProcessID     string `json:"processID"`
		StartTime     int64  `json:"startTime"` // microseconds
		Duration      int64  `json:"duration"`  // microseconds
		References    []struct {
			RefType string `json:"refType"`
			SpanID  string `json:"spanID"`
		} `json:"references"`
		Tags []struct {
			Key   string `json:"key"`
			Value any    `json:"value"`
		} `json:"tags"`
	}
)

// Find returns the traces that have a span of the service with all the tags
// and, unless it is empty, the operation, newest first.
func (c Client) Find(ctx context.Context, service, operation string, tags map[string]string) ([]Trace, error) {
	wanted, err := json.Marshal(tags)
	if err != nil {
		return nil, fmt.Errorf("ask Jaeger: %w", err)
	}
	query := url.Values{
		"service": {service}, "tags": {string(wanted)}, "limit": {"20"},
		"start": {strconv.FormatInt(time.Now().Add(-time.Hour).UnixMicro(), 10)},
		"end":   {strconv.FormatInt(time.Now().Add(time.Minute).UnixMicro(), 10)},
	}
	if operation != "" {
		query.Set("operation", operation)
	}
	return c.get(ctx, "?"+query.Encode())
}

// Get returns the trace with an id.
func (c Client) Get(ctx context.Context, id string) (Trace, error) {
	traces, err := c.get(ctx, "/"+id)
	if err != nil {
		return Trace{}, err
	}
	if len(traces) != 1 {
		return Trace{}, fmt.Errorf("found %d traces with id %s", len(traces), id)
	}
	return traces[0], nil
}

func (c Client) get(ctx context.Context, rest string) ([]Trace, error) {
	base := c.URL
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/traces"+rest, nil)
	if err != nil {
		return nil, fmt.Errorf("ask Jaeger: %w", err)
	}
	return c.do(req)
}

func (c Client) do(req *http.Request) ([]Trace, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask Jaeger: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("ask Jaeger: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask Jaeger: %s: %.500s", resp.Status, text)
	}
	return parse(text)
}

func parse(text []byte) ([]Trace, error) {
	var r reply
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("answer of Jaeger: %w", err)
	}
	if len(r.Errors) > 0 {
		return nil, fmt.Errorf("answer of Jaeger: %s", r.Errors[0].Message)
	}
	traces := make([]Trace, 0, len(r.Data))
	for _, t := range r.Data {
		traces = append(traces, t.trace())
	}
	sort.SliceStable(traces, func(i, j int) bool { return traces[j].start().Before(traces[i].start()) })
	return traces, nil
}

func (t traceJSON) trace() Trace {
	trace := Trace{ID: t.TraceID}
	for _, s := range t.Spans {
		span := Span{
			ID: s.SpanID, Service: t.Processes[s.ProcessID].ServiceName, Operation: s.OperationName,
			Start: time.UnixMicro(s.StartTime), Duration: time.Duration(s.Duration) * time.Microsecond,
			Tags: make(map[string]string, len(s.Tags)),
		}
		for _, ref := range s.References {
			if ref.RefType == "CHILD_OF" {
				span.Parent = ref.SpanID
			}
		}
		for _, tag := range s.Tags {
			span.Tags[tag.Key] = fmt.Sprint(tag.Value)
		}
		trace.Spans = append(trace.Spans, span)
	}
	sort.SliceStable(trace.Spans, func(i, j int) bool { return trace.Spans[i].Start.Before(trace.Spans[j].Start) })
	return trace
}

func (t Trace) start() time.Time {
	if len(t.Spans) == 0 {
		return time.Time{}
	}
	return t.Spans[0].Start
}
