//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/jaeger"
)

// services are those whose spans a pod's start must have.
var services = []string{"trivet-runtime", "trivet-netsync", "trivet-streamer", "containerd"}

// TestTrace starts a pod under one trace, as a kubelet does, and asks Jaeger
// for it: one root, every process in it, every parent known, and each part
// below the span that waits for it.
func TestTrace(t *testing.T) {
	ctx := limit(t, 2*time.Minute)
	traced, root, err := stage.Lab.StartTrace(ctx, "start pod")
	ok(t, err)
	pod := runPod(t, stage.CRI(), "untraced") // beside it, under traces of its own
	need(pod.Run(ctx, "beside"))(t)

	cfg := need(stage.CRI().PodConfig("traced"))(t)
	tracedPod := need(stage.CRI().RunPodConfig(traced, cfg, ""))(t)
	t.Cleanup(func() { ok(t, tracedPod.Remove(context.Background())) })
	need(tracedPod.Run(traced, "main"))(t)
	ok(t, root.End())

	client := jaeger.Client{URL: stage.Lab.JaegerQuery}
	var trace jaeger.Trace
	ok(t, harness.WaitFor(ctx, 30*time.Second, "the trace", func(ctx context.Context) error {
		found, err := client.Get(ctx, root.ID)
		if err != nil {
			return err
		}
		trace = found
		return complete(found)
	}))
	var tree strings.Builder
	ok(t, trace.WriteTree(&tree))
	t.Logf("\n%s", tree.String())

	for _, edge := range []struct{ below, service, operation string }{
		{"RunPodSandbox", "trivet-netsync", "NetSync/Attach"},
		{"RunPodSandbox", "containerd", ""},
		{"StartContainer", "trivet-streamer", "Streamer/OpenIO"},
		{"StartContainer", "containerd", "Tasks/Start"},
	} {
		if !isBelow(trace, edge.below, edge.service, edge.operation) {
			t.Errorf("no span of %s %s is below %s", edge.service, edge.operation, edge.below)
		}
	}
	for _, s := range trace.Spans {
		if s.Tags["k8s.pod.name"] != "" && s.Tags["k8s.pod.name"] != "traced" {
			t.Errorf("span %s %s is of pod %s", s.Service, s.Operation, s.Tags["k8s.pod.name"])
		}
	}
}

// complete returns an error until every service's spans have arrived.
func complete(trace jaeger.Trace) error {
	for _, service := range services {
		if trace.Services()[service] == 0 {
			return fmt.Errorf("no span of %s among %v", service, trace.Services())
		}
	}
	roots := trace.Roots()
	if len(roots) != 1 || roots[0].Service != harness.TraceService {
		return fmt.Errorf("the roots are %v, want the client's alone", roots)
	}
	calls := 0
	for _, s := range trace.Spans {
		if s.Parent == roots[0].ID && s.Service == "trivet-runtime" && strings.Contains(s.Operation, "runtime.v1.RuntimeService/") {
			calls++
		}
	}
	if calls != 3 { // RunPodSandbox, CreateContainer, StartContainer
		return fmt.Errorf("%d calls are below the root, want 3", calls)
	}
	return nil
}

// isBelow tells whether a span of the service is a descendant of one whose
// operation contains above.
func isBelow(trace jaeger.Trace, above, service, operation string) bool {
	for _, s := range trace.Spans {
		if s.Service != service || !strings.Contains(s.Operation, operation) {
			continue
		}
		for parent, found := trace.Span(s.Parent); found; parent, found = trace.Span(parent.Parent) {
			if strings.Contains(parent.Operation, above) {
				return true
			}
		}
	}
	return false
}

// TestTraceOfOneCall sends no context: the call itself is the one root.
func TestTraceOfOneCall(t *testing.T) {
	ctx := limit(t, time.Minute)
	pod := runPod(t, stage.CRI(), "root-of-its-own")
	client := jaeger.Client{URL: stage.Lab.JaegerQuery}
	ok(t, harness.WaitFor(ctx, 30*time.Second, "the trace", func(ctx context.Context) error {
		traces, err := client.Find(ctx, "trivet-runtime", "runtime.v1.RuntimeService/RunPodSandbox", map[string]string{"k8s.pod.uid": pod.Config.GetMetadata().GetUid()})
		if err != nil {
			return err
		}
		if len(traces) != 1 {
			return fmt.Errorf("%d traces", len(traces))
		}
		roots := traces[0].Roots()
		if len(roots) != 1 || roots[0].Parent != "" || !strings.HasSuffix(roots[0].Operation, "RunPodSandbox") {
			return fmt.Errorf("roots are %v", roots)
		}
		for _, service := range []string{"trivet-netsync", "containerd"} {
			if traces[0].Services()[service] == 0 {
				return fmt.Errorf("no span of %s", service)
			}
		}
		return nil
	}))
}
