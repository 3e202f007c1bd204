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
	for name, test := range map[string]struct {
		row             row
		trivet, builtIn []float64
		ratio           float64
		missed          bool
	}{
		"less, reached":       {row{Goal: 0.6}, []float64{1, 2, 3}, []float64{4, 4, 4}, 0.5, false},
		"less, missed":        {row{Goal: 0.4}, []float64{1, 2, 3}, []float64{4, 4, 4}, 0.5, true},
		"more, reached":       {row{Goal: 1.3, More: true}, []float64{3}, []float64{2}, 1.5, false},
		"more, missed":        {row{Goal: 1.6, More: true}, []float64{3}, []float64{2}, 1.5, true},
		"tail":                {row{Tail: true}, []float64{1, 1, 1, 8}, []float64{1, 1, 1, 1}, 6.95, false},
		"no goal":             {row{}, []float64{5}, []float64{1}, 5, false},
		"without a baseline":  {row{Goal: 1}, []float64{5}, nil, 0, false},
		"without any samples": {row{Goal: 1, More: true}, nil, nil, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := compare(test.row, test.trivet, test.builtIn)
			if math.Abs(f.Ratio-test.ratio) > 1e-9 || f.missed() != test.missed {
				t.Errorf("ratio %v, missed %t", f.Ratio, f.missed())
			}
		})
	}
}
