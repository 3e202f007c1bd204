package pump_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trivet-cri/trivet/streamer/pump"
)

// figures are the pumps' metrics, by name and label.
func figures(t *testing.T, p *pump.Pumps) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(p.Metrics())
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			found[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return found
}

// TestMetrics: what is in the log was counted, and who is held back shows.
func TestMetrics(t *testing.T) {
	t.Parallel()
	p := configured(t, t.TempDir(), pump.Config{RateLimit: 1000})
	r := request(t)
	out := openShim(t, open(t, p, r).GetStdout())
	for i := range 200 {
		out.write(t, fmt.Sprintf("line %d of more than the limit lets pass in a second\n", i))
	}
	eventually(t, "container to be held back", func() bool {
		return figures(t, p)["trivet_streamer_log_troubled_containers limited"] == 1
	})
	out.close()
	mustClose(t, p, r.GetContainer().GetId())
	info, err := os.Stat(r.GetLogPath())
	if err != nil {
		t.Fatal(err)
	}
	got := figures(t, p)
	for name, want := range map[string]float64{
		"trivet_streamer_log_containers":                    0,
		"trivet_streamer_log_lines_total":                   200,
		"trivet_streamer_log_bytes_total":                   float64(info.Size()),
		"trivet_streamer_log_dropped_bytes_total":           0,
		"trivet_streamer_log_troubled_containers limited":   0,
		"trivet_streamer_log_troubled_containers dropped":   0,
		"trivet_streamer_log_troubled_containers held_back": 0,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v, %t, want %v", name, value, ok, want)
		}
	}
}
