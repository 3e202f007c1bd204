package latest_test

import (
	"sync"
	"testing"

	"github.com/trivet-cri/trivet/netsync/latest"
)

func TestWatchersSeeTheLastValue(t *testing.T) {
	t.Parallel()
	const last = 1000
	v := latest.New(0)
	var watchers sync.WaitGroup
	for range 4 {
		watchers.Go(func() {
			before := -1
			for {
				now, changed := v.Watch()
				if now < before {
					t.Errorf("%d after %d", now, before)
				}
				if before = now; now == last {
					return
				}
				<-changed
			}
		})
	}
	var writers sync.WaitGroup
	for range 10 {
		writers.Go(func() {
			for range last / 10 {
				v.Update(func(old int) int { return old + 1 })
			}
		})
	}
	writers.Wait()
	watchers.Wait()
	if v.Get() != last {
		t.Errorf("value is %d", v.Get())
	}
	if v.Set(7); v.Get() != 7 {
		t.Errorf("value is %d after Set", v.Get())
	}
}
