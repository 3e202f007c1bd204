package engine

import "time"

// Age makes all connections to shims older.
func (e *Engine) Age(d time.Duration) {
	e.shims.mu.Lock()
	defer e.shims.mu.Unlock()
	for _, one := range e.shims.kept {
		one.idle = one.idle.Add(-d)
	}
}

// Sweep closes the connections that a new one would have closed.
func (e *Engine) Sweep() { e.shims.sweep() }
