package cri

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	runningDesc = prometheus.NewDesc("trivet_runtime_operations",
		"Operations that run, joined ones counted once.", []string{"of"}, nil)
	oldestDesc = prometheus.NewDesc("trivet_runtime_oldest_operation_seconds",
		"Age of the oldest operation that runs, 0 if none does.", []string{"of"}, nil)
	quarantinedDesc = prometheus.NewDesc("trivet_runtime_quarantined_records",
		"Records that cannot be read.", []string{"of"}, nil)
)

// Metrics are those of overviews, by the noun that they are of.
func Metrics(overviews map[string]Overview) prometheus.Collector { return overviewMetrics(overviews) }

type overviewMetrics map[string]Overview

// Describe implements prometheus.Collector.
func (overviewMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{runningDesc, oldestDesc, quarantinedDesc} {
		to <- desc
	}
}

// Collect implements prometheus.Collector.
func (m overviewMetrics) Collect(to chan<- prometheus.Metric) {
	for of, overview := range m {
		var ages []float64
		for _, operation := range overview.Running() {
			ages = append(ages, operation.Age.Seconds())
		}
		to <- prometheus.MustNewConstMetric(runningDesc, prometheus.GaugeValue, float64(len(ages)), of)
		to <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, slices.Max(append(ages, 0)), of)
		to <- prometheus.MustNewConstMetric(quarantinedDesc, prometheus.GaugeValue, float64(len(overview.Quarantine())), of)
	}
}
