package rpc_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/trivet-cri/trivet/internal/rpc"
	netsyncv1 "github.com/trivet-cri/trivet/proto/netsync/v1"
)

// counted is how often each method ended with a code, by family.
func counted(t *testing.T) map[string]uint64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(rpc.Calls()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]uint64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			labels := make(map[string]string)
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			got[family.GetName()+" "+labels["method"]+" "+labels["code"]] += m.GetHistogram().GetSampleCount()
		}
	}
	return got
}

// TestCallsAreCounted on both sides, but for health checks. The code is one
// that no other test's calls have.
func TestCallsAreCounted(t *testing.T) {
	t.Parallel()
	r := start(t, &service{
		attach: func(context.Context) error { return errdefs.ErrDataLoss },
		watch: func(grpc.ServerStreamingServer[netsyncv1.WatchStatusResponse]) error {
			return errdefs.ErrDataLoss
		},
	}, time.Second)
	conn, before := connect(t, r.path), counted(t)
	for range 2 {
		if err := attach(t.Context(), conn); !errdefs.IsDataLoss(err) {
			t.Fatal(err)
		}
	}
	stream, err := netsyncv1.NewNetSyncClient(conn).WatchStatus(t.Context(), &netsyncv1.WatchStatusRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if !errdefs.IsDataLoss(err) {
		t.Fatal(err)
	}
	if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	got := counted(t)
	for call, want := range map[string]uint64{
		"trivet_grpc_server_call_duration_seconds trivet.netsync.v1.NetSync/Attach DataLoss":      2,
		"trivet_grpc_client_call_duration_seconds trivet.netsync.v1.NetSync/Attach DataLoss":      2,
		"trivet_grpc_server_call_duration_seconds trivet.netsync.v1.NetSync/WatchStatus DataLoss": 1,
	} {
		if times := got[call] - before[call]; times != want {
			t.Errorf("%s: %d times, want %d", call, times, want)
		}
	}
	for call := range got {
		if strings.Contains(call, "Health/") {
			t.Errorf("counted %s", call)
		}
	}
}
