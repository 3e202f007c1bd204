package pump

import (
	"bytes"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// written counts what has gone into logs.
type written struct{ bytes, lines atomic.Uint64 }

func (w *written) add(out []byte) {
	w.bytes.Add(uint64(len(out)))
	w.lines.Add(uint64(bytes.Count(out, []byte{'\n'})))
}

var (
	containersDesc = prometheus.NewDesc("trivet_streamer_log_containers",
		"Containers whose output is read.", nil, nil)
	bytesDesc = prometheus.NewDesc("trivet_streamer_log_bytes_total",
		"Bytes written to logs, with times and tags.", nil, nil)
	linesDesc = prometheus.NewDesc("trivet_streamer_log_lines_total",
		"Lines written to logs; pieces of a long line count one by one.", nil, nil)
	droppedDesc = prometheus.NewDesc("trivet_streamer_log_dropped_bytes_total",
		"Bytes of output that were dropped because their log could not be written.", nil, nil)
	troubledDesc = prometheus.NewDesc("trivet_streamer_log_troubled_containers",
		"Containers whose output does not go into their log as it comes.", []string{"state"}, nil)
)

// states are the labels of the states of a log in trouble.
var states = map[streamerv1.TroubledLog_State]string{
	streamerv1.TroubledLog_STATE_HELD_BACK: "held_back",
	streamerv1.TroubledLog_STATE_DROPPED:   "dropped",
	streamerv1.TroubledLog_STATE_LIMITED:   "limited",
}

// Metrics are those of the log pumps.
func (p *Pumps) Metrics() prometheus.Collector { return collector{p} }

type collector struct{ pumps *Pumps }

// Describe implements prometheus.Collector.
func (collector) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{containersDesc, bytesDesc, linesDesc, droppedDesc, troubledDesc} {
		to <- desc
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	troubles, dropped := c.pumps.Troubles()
	count := make(map[streamerv1.TroubledLog_State]int)
	for _, trouble := range troubles {
		count[trouble.State]++
	}
	to <- prometheus.MustNewConstMetric(containersDesc, prometheus.GaugeValue, float64(c.pumps.Count()))
	to <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(c.pumps.written.bytes.Load()))
	to <- prometheus.MustNewConstMetric(linesDesc, prometheus.CounterValue, float64(c.pumps.written.lines.Load()))
	to <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(dropped))
	for state, label := range states {
		to <- prometheus.MustNewConstMetric(troubledDesc, prometheus.GaugeValue, float64(count[state]), label)
	}
}
