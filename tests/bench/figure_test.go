package main

import (
	"math"
	"testing"
)

func TestSummarize(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		samples     []float64
		median, p95 float64
	}{
		"none":   {nil, 0, 0},
		"one":    {[]float64{7}, 7, 7},
		"even":   {[]float64{4, 1, 3, 2}, 2.5, 3.85},
		"spread": {[]float64{100, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 1, 50.5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := summarize(test.samples)
			if math.Abs(got.Median-test.median) > 1e-9 || math.Abs(got.P95-test.p95) > 1e-9 || got.N != len(test.samples) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	if f := compare("x", 1, 0.6, []float64{1, 2, 3}, []float64{4, 4, 4}); f.Ratio != 0.5 {
		t.Errorf("ratio is %v", f.Ratio)
	}
	if f := compare("x", 1, 0.6, []float64{1}, nil); f.Ratio != 0 {
		t.Errorf("ratio without a baseline is %v", f.Ratio)
	}
}
