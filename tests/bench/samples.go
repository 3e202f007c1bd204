package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/trivet-cri/trivet/tests/harness"
)

// samples are what one side has shown, by figure.
type samples struct {
	mu sync.Mutex
	by map[string][]float64
}

func newSamples() *samples { return &samples{by: make(map[string][]float64)} }

// add takes a duration down, in milliseconds.
func (s *samples) add(name string, took time.Duration) {
	s.value(name, float64(took)/float64(time.Millisecond))
}

func (s *samples) value(name string, value float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by[name] = append(s.by[name], value)
}

// batch measures one side once.
type batch func(s *side, into *samples) error

// inTurns measures both sides in alternate rounds, and so does who begins a
// round: what drifts on the machine meets both alike. warm runs before, and
// does not count; nil: measure does.
func (s *sides) inTurns(what string, rounds int, warm, measure batch) ([2]*samples, error) {
	measured := [2]*samples{newSamples(), newSamples()}
	if warm == nil {
		warm = measure
	}
	for _, side := range s.both {
		if err := warm(side, newSamples()); err != nil {
			return measured, fmt.Errorf("%s: %s: %w", side.name, what, err)
		}
	}
	for round := range rounds {
		harness.Progress("%s, round %d of %d", what, round+1, rounds)
		for turn := range s.both {
			i := (turn + round) % len(s.both)
			if err := measure(s.both[i], measured[i]); err != nil {
				return measured, fmt.Errorf("%s: %s: %w", s.both[i].name, what, err)
			}
		}
	}
	return measured, nil
}

// figures compares the rows' samples.
func figures(suite string, concurrency int, rows []row, measured [2]*samples) []figure {
	var compared []figure
	for _, r := range rows {
		name := r.Name
		if r.Of != "" {
			name = r.Of
		}
		f := compare(r, measured[0].by[name], measured[1].by[name])
		f.Suite, f.Concurrency = suite, concurrency
		compared = append(compared, f)
	}
	return compared
}

// withCPU runs a batch of n operations and takes down the CPU time of each:
// of everything, and of the daemons alone.
func (s *side) withCPU(name string, into *samples, run func() (n int, err error)) error {
	n := 0
	used, err := s.spent(func() (err error) {
		n, err = run()
		return err
	})
	if err != nil {
		return err
	}
	into.add(name, used.all/time.Duration(n))
	into.add(name+", daemons", used.daemons/time.Duration(n))
	return nil
}
