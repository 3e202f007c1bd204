package cri_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/trivet-cri/trivet/runtime/cri"
	"github.com/trivet-cri/trivet/runtime/operation"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(cri.Metrics(map[string]cri.Overview{
		"pods":       overview{[]operation.Status{{Age: time.Second}, {Age: time.Minute}}, nil},
		"containers": overview{nil, map[string]error{"0bad": errors.New("cannot be read")}},
	}))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range []string{
		`trivet_runtime_operations{of="pods"} 2`,
		`trivet_runtime_operations{of="containers"} 0`,
		`trivet_runtime_oldest_operation_seconds{of="pods"} 60`,
		`trivet_runtime_oldest_operation_seconds{of="containers"} 0`,
		`trivet_runtime_quarantined_records{of="pods"} 0`,
		`trivet_runtime_quarantined_records{of="containers"} 1`,
	} {
		if !strings.Contains(text.String(), line+"\n") {
			t.Errorf("no line %s in\n%s", line, text.String())
		}
	}
}
