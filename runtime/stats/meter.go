package stats

import (
	"sync"
	"time"
)

// window is the shortest interval that a rate is made of. Of several clients
// that read at the same time one makes the interval, and all get its rate.
const window = time.Second

// Meter makes a rate of the readings of a counter: CPU time becomes cores. The
// zero value has no reading yet. All methods may be called concurrently.
type Meter struct {
	mu    sync.Mutex
	at    time.Time
	total uint64
	rate  *uint64
}

// NanoCores takes a reading of the CPU time, in nanoseconds, and returns the
// nanoseconds that were computed in each second since the reading before. nil
// for the first reading: there is no interval yet. A counter that went back
// begins anew.
func (m *Meter) NanoCores(at time.Time, total uint64) *uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch passed := at.Sub(m.at); {
	case m.at.IsZero() || total < m.total && passed > 0:
		m.at, m.total, m.rate = at, total, nil
	case passed >= window:
		rate := uint64(float64(total-m.total) / passed.Seconds())
		m.at, m.total, m.rate = at, total, &rate
	}
	return m.rate
}
