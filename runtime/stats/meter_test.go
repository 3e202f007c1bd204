package stats_test

import (
	"sync"
	"testing"
	"time"

	"github.com/trivet-cri/trivet/runtime/stats"
)

func TestNanoCores(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	var m stats.Meter
	for i, step := range []struct {
		after time.Duration
		total uint64
		want  int64 // -1 for none
	}{
		{0, 5e9, -1},
		{500 * time.Millisecond, 5.1e9, -1}, // too short an interval
		{2 * time.Second, 8e9, 1.5e9},
		{2500 * time.Millisecond, 9e9, 1.5e9}, // the last one's rate
		{4 * time.Second, 8e9, 0},
		{3 * time.Second, 1e9, 0}, // read before, came after
		{14 * time.Second, 13e9, 5e8},
		{15 * time.Second, 1e9, -1}, // another counter
		{16 * time.Second, 2e9, 1e9},
	} {
		got := int64(-1)
		if rate := m.NanoCores(begin.Add(step.after), step.total); rate != nil {
			got = int64(*rate)
		}
		if got != step.want {
			t.Errorf("step %d: rate is %d, want %d", i, got, step.want)
		}
	}
}

func TestMeterIsShared(t *testing.T) {
	t.Parallel()
	var m stats.Meter
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for i := range 100 {
				if rate := m.NanoCores(time.Unix(int64(i), 0), uint64(i)*1e9); rate != nil && *rate > 2e9 {
					t.Errorf("rate is %d", *rate)
				}
			}
		})
	}
	readers.Wait()
}
