//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/metrics"
	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/stream"
)

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener := need(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// scraped are the samples at an address: name{member,other labels…} without
// pid and version, in the order of the labels' names. Histograms are their counts.
func scraped(ctx context.Context, address string) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+metrics.Path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	samples := make(map[string]float64)
	for name, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				if l.GetName() != "pid" && l.GetName() != "version" {
					labels = append(labels, l.GetValue())
				}
			}
			samples[name+"{"+strings.Join(labels, ",")+"}"] += m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return samples, nil
}

// TestMetrics: a scrape of the launcher tells of calls in all members, of
// sessions, exec-syncs and logs.
func TestMetrics(t *testing.T) {
	ctx := limit(t, 2*time.Minute)
	address := freeAddress(t)
	group := ownGroup(t, func(c *config.Config) { c.Metrics.Address = address })
	container := need(runPod(t, group.CRI, "counted").Run(ctx, "main"))(t)
	need(container.ExecSync(ctx, 10*time.Second, "/bin/sh", "-c", "echo four; exit 3"))(t)
	code, err := stream.Session{
		Transport: stream.SPDY, URL: need(container.ExecURL(ctx, false, true, "/bin/cat"))(t),
		Stdin: strings.NewReader("hello"), Stdout: io.Discard, Stderr: io.Discard,
	}.Run(ctx)
	if err != nil || code != 0 {
		t.Fatalf("exit code %d, error %v", code, err)
	}
	// -1 stands for any value.
	expected := map[string]float64{
		`trivet_member_up{netsync}`:              1,
		`trivet_member_up{streamer}`:             1,
		`trivet_member_up{runtime}`:              1,
		`trivet_launcher_generation{}`:           1,
		`trivet_launcher_group_restarts_total{}`: 0,
		`trivet_grpc_server_call_duration_seconds{OK,runtime,runtime.v1.RuntimeService/RunPodSandbox}`:  1,
		`trivet_grpc_client_call_duration_seconds{OK,runtime,trivet.netsync.v1.NetSync/Attach}`:         1,
		`trivet_grpc_server_call_duration_seconds{OK,netsync,trivet.netsync.v1.NetSync/Attach}`:         1,
		`trivet_grpc_server_call_duration_seconds{OK,streamer,trivet.streamer.v1.Streamer/PrepareExec}`: 1,
		`trivet_grpc_client_call_duration_seconds{OK,runtime,containerd.services.tasks.v1.Tasks/Start}`: 1,
		`trivet_runtime_operations{runtime,pods}`:                                                       0,
		`trivet_streamer_sessions_open{exec,streamer}`:                                                  0,
		`trivet_streamer_sessions_total{exec,streamer,ok}`:                                              1,
		`trivet_streamer_sessions_total{execsync,streamer,exit_code}`:                                   1,
		`trivet_streamer_session_bytes_total{in,exec,streamer}`:                                         5,
		`trivet_streamer_session_bytes_total{out,exec,streamer}`:                                        5,
		`trivet_streamer_session_bytes_total{out,execsync,streamer}`:                                    5,
		`trivet_streamer_exec_sync_duration_seconds{streamer,exit_code}`:                                1,
		`trivet_streamer_log_containers{streamer}`:                                                      1,
		`trivet_streamer_log_dropped_bytes_total{streamer}`:                                             0,
		`process_resident_memory_bytes{launcher}`:                                                       -1,
		`process_resident_memory_bytes{netsync}`:                                                        -1,
	}
	ok(t, harness.WaitFor(ctx, 30*time.Second, "the metrics", func(ctx context.Context) error {
		got, err := scraped(ctx, address)
		if err != nil {
			return err
		}
		for name, want := range expected {
			if value, there := got[name]; !there || want >= 0 && value != want || value < 0 {
				return fmt.Errorf("%s is %v, %t, want %v", name, value, there, want)
			}
		}
		return nil
	}))
	generation := need(group.Kill(ctx, "streamer"))(t)
	ok(t, group.AwaitGeneration(ctx, generation))
	ok(t, group.AwaitReady(ctx))
	got := need(scraped(ctx, address))(t)
	if got[`trivet_launcher_generation{}`] != 2 || got[`trivet_member_up{streamer}`] != 1 || got[`trivet_streamer_log_containers{streamer}`] != 1 {
		t.Errorf("after streamer was killed: %v", got)
	}
}
