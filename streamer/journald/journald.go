// Package journald hands what containers log to systemd's journal as well, by
// its native protocol.
//
//	pump ─▶ log (whole, once)
//	  └───▶ Sender: bounded queue ─▶ one goroutine ─▶ journald's socket
//
// It is a copy: nobody waits for journald. When that is away, or slower than
// the containers for long enough to fill the queue, lines are dropped, counted
// and warned about. What the queue has when this process is killed is lost,
// and the log is not.
package journald

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// Socket is where journald listens.
const Socket = "/run/systemd/journal/socket"

const (
	// queueMax is how many bytes of records may wait.
	queueMax = 4 << 20
	// patience is how long a write may wait for journald to read, and the end of
	// Run for all that is queued.
	patience = time.Second
	// warnEvery is the interval between two warnings.
	warnEvery = time.Minute
)

// Sender sends to one journald. Safe for concurrent use; Run may be called once.
type Sender struct {
	socket  string
	log     *slog.Logger
	sent    atomic.Uint64
	dropped atomic.Uint64
	warned  time.Time // belongs to Run
	line    line      // belongs to Run

	more  chan struct{} // has a token when the queue may have something
	mu    sync.Mutex
	queue []batch
	size  int
	lost  error // why lines were dropped before Run has seen them
}

// batch are records of one container.
type batch struct {
	of      *streamerv1.Container
	records []byte
}

// New returns a sender to a socket.
func New(socket string, log *slog.Logger) *Sender {
	return &Sender{socket: socket, log: log, line: line{socket: socket}, more: make(chan struct{}, 1)}
}

// Send takes whole records in the CRI format, of which it keeps a copy. It
// never waits.
func (s *Sender) Send(of *streamerv1.Container, records []byte) {
	s.mu.Lock()
	full := s.size > 0 && s.size+len(records) > queueMax
	if full {
		s.lost = fmt.Errorf("journald is more than %d bytes behind", queueMax)
	} else {
		s.queue = append(s.queue, batch{of, bytes.Clone(records)})
		s.size += len(records)
	}
	s.mu.Unlock()
	if full {
		s.dropped.Add(uint64(bytes.Count(records, []byte{'\n'})))
	}
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// Run sends what is queued until ctx ends, and then for a moment the rest.
func (s *Sender) Run(ctx context.Context) error {
	defer s.line.close()
	for {
		select {
		case <-s.more:
			s.work(ctx, time.Time{})
		case <-ctx.Done():
			s.work(context.WithoutCancel(ctx), time.Now().Add(patience))
			return nil
		}
	}
}

// work sends the queue. With a deadline, what is left then is dropped.
func (s *Sender) work(ctx context.Context, deadline time.Time) {
	queue, lost := s.take()
	if lost != nil {
		s.warn(ctx, lost)
	}
	for i, b := range queue {
		if ctx.Err() != nil {
			s.putBack(queue[i:])
			return
		}
		s.send(ctx, b, deadline)
		s.mu.Lock()
		s.size -= len(b.records)
		s.mu.Unlock()
	}
}

func (s *Sender) take() ([]batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue, lost := s.queue, s.lost
	s.queue, s.lost = nil, nil
	return queue, lost
}

// putBack is for what work has not come to when its context ended.
func (s *Sender) putBack(queue []batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(queue, s.queue...)
}

// send sends a batch's records one by one. When journald does not take one, the
// rest would wait as long: it is dropped as well.
func (s *Sender) send(ctx context.Context, b batch, deadline time.Time) {
	fixed := fieldsOf(b.of)
	records := b.records
	for len(records) > 0 {
		record, rest, _ := bytes.Cut(records, []byte{'\n'})
		until := time.Now().Add(patience)
		if !deadline.IsZero() && deadline.Before(until) {
			until = deadline
		}
		if err := s.line.write(entry(fixed, record), until); err != nil {
			s.dropped.Add(uint64(bytes.Count(records, []byte{'\n'})))
			s.warn(ctx, err)
			return
		}
		s.sent.Add(1)
		records = rest
	}
}

func (s *Sender) warn(ctx context.Context, err error) {
	if !s.warned.IsZero() && time.Since(s.warned) < warnEvery {
		return
	}
	s.warned = time.Now()
	s.log.WarnContext(ctx, "journald does not take containers' output, which is in their logs only",
		"dropped_lines", s.dropped.Load(), "error", err)
}

// Dropped is how many lines journald has not had.
func (s *Sender) Dropped() uint64 { return s.dropped.Load() }

// Metrics are those of the sender.
func (s *Sender) Metrics() []prometheus.Collector {
	counter := func(name, help string, of *atomic.Uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(of.Load()) })
	}
	return []prometheus.Collector{
		counter("trivet_streamer_journald_lines_total", "Lines of containers' output that journald has had.", &s.sent),
		counter("trivet_streamer_journald_dropped_lines_total", "Lines of containers' output that journald has not had; they are in the logs.", &s.dropped),
	}
}
