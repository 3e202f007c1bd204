package flow

import (
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// blockSize is what is sent at once, window how much may be under way.
	blockSize = 4 << 10
	window    = 64 << 10
	// pause is between two blocks, so that many flows share a small machine.
	pause = 10 * time.Millisecond
)

// echo is both ends of what a flow sends: a reader of random bytes, and a
// writer that expects the same ones.
type echo struct {
	source, expected *rand.ChaCha8 // the same bytes

	mu             sync.Mutex
	changed        *sync.Cond
	sent, returned int64
	stopped        bool
	wrong          error
}

func newEcho() *echo {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	e := &echo{source: rand.NewChaCha8(seed), expected: rand.NewChaCha8(seed)}
	e.changed = sync.NewCond(&e.mu)
	return e
}

// Read returns the next block when the window allows it, and io.EOF after stop.
func (e *echo) Read(p []byte) (int, error) {
	time.Sleep(pause)
	e.mu.Lock()
	defer e.mu.Unlock()
	for !e.stopped && e.sent-e.returned > window-blockSize {
		e.changed.Wait()
	}
	if e.stopped {
		return 0, io.EOF
	}
	n, err := e.source.Read(p[:min(len(p), blockSize)])
	e.sent += int64(n)
	return n, err
}

// stop ends the reading.
func (e *echo) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = true
	e.changed.Broadcast()
}

// sink is where what comes back is written to.
func (e *echo) sink() io.Writer { return sink{e} }

type sink struct{ *echo }

// Write compares.
func (s sink) Write(p []byte) (int, error) {
	want := make([]byte, len(p))
	_, _ = s.expected.Read(want) // never fails
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	for i := range p {
		if p[i] != want[i] {
			s.wrong = fmt.Errorf("byte %d is wrong", s.returned+int64(i))
			s.stopped = true
			return i, s.wrong
		}
	}
	s.returned += int64(len(p))
	return len(p), nil
}

func (e *echo) moved() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.returned
}

// awaitAll waits until what was sent has come back, or something is wrong.
func (e *echo) awaitAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.wrong == nil && e.returned < e.sent {
		e.changed.Wait()
	}
}

// complete tells what is missing at the end.
func (e *echo) complete() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer e.changed.Broadcast()
	if e.wrong == nil && e.returned != e.sent {
		e.wrong = fmt.Errorf("%d of %d bytes have come back", e.returned, e.sent)
	}
	return e.wrong
}
