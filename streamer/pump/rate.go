package pump

import "time"

const (
	// burst is for how long a container that was silent may write as fast as it
	// can what it has not written.
	burst = time.Second
	// slice is how much output, in time, one append takes of a limited container.
	slice = 100 * time.Millisecond
)

// rate limits how fast a container's output is read. What is not read waits in
// the FIFO, and the container with it when that is full: nothing is lost.
type rate struct {
	limit int       // bytes a second; 0 for none
	next  time.Time // before it nothing more is read
}

// wait is how long to hold back before the next read.
func (r *rate) wait(now time.Time) time.Duration {
	if r.limit == 0 {
		return 0
	}
	return max(r.next.Sub(now), 0)
}

// window is how much of n bytes to take at once. It is never less than a line
// may have, for lines are not divided.
func (r *rate) window(n, line int) int {
	if r.limit == 0 {
		return n
	}
	return min(n, max(int(float64(r.limit)*slice.Seconds()), line))
}

// spend notes that n bytes were read.
func (r *rate) spend(now time.Time, n int) {
	if r.limit == 0 {
		return
	}
	if earliest := now.Add(-burst); r.next.Before(earliest) {
		r.next = earliest
	}
	r.next = r.next.Add(time.Duration(float64(n) / float64(r.limit) * float64(time.Second)))
}
