package scrape

import (
	"os"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trivet-cri/trivet/launcher/supervisor"
)

// Group is what is supervised.
type Group interface {
	// Snapshot is the group as it is now. It waits for nothing.
	Snapshot() supervisor.Snapshot
}

// launcherLabels are those of the launcher's own process.
func launcherLabels() prometheus.Labels {
	return prometheus.Labels{"member": "launcher", "pid": strconv.Itoa(os.Getpid())}
}

var (
	generation = prometheus.NewDesc("trivet_launcher_generation",
		"The generation that runs, counted from 1.", nil, nil)
	groupRestarts = prometheus.NewDesc("trivet_launcher_group_restarts_total",
		"Restarts of the whole group, reloads among them.", nil, nil)
	memberRestarts = prometheus.NewDesc("trivet_launcher_member_restarts_total",
		"Starts of the member's process after the first.", []string{"member"}, nil)
	memberState = prometheus.NewDesc("trivet_launcher_member_state",
		"1 for the state that the member is in, 0 for the others.", []string{"member", "state"}, nil)
)

// collector shows the supervisor's view of the group.
type collector struct{ group Group }

// Describe implements prometheus.Collector.
func (collector) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{generation, groupRestarts, memberRestarts, memberState} {
		to <- desc
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	now := c.group.Snapshot()
	to <- prometheus.MustNewConstMetric(generation, prometheus.GaugeValue, float64(now.Generation))
	to <- prometheus.MustNewConstMetric(groupRestarts, prometheus.CounterValue, float64(now.Restarts))
	for _, m := range now.Members {
		to <- prometheus.MustNewConstMetric(memberRestarts, prometheus.CounterValue, float64(m.Restarts), m.Name)
		for _, state := range supervisor.States {
			value := 0.0
			if m.State == state {
				value = 1
			}
			to <- prometheus.MustNewConstMetric(memberState, prometheus.GaugeValue, value, m.Name, string(state))
		}
	}
}
