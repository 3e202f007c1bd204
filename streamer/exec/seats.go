package exec

import (
	"context"
	"fmt"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/semaphore"
)

// seats bound how many commands of a kind there are in each container at a
// time. Sessions and Syncs have seats of their own: a probe does not wait for
// a user who has left a shell open.
type seats struct {
	limit int // 0 for none

	mu     sync.Mutex
	tables map[string]*table // of containers that somebody sits or waits in
}

// table are the seats of one container.
type table struct {
	free  *semaphore.Weighted
	users int
}

// wait takes a seat as soon as there is one, in turn. The caller must call
// leave. Error: that of ctx.
func (s *seats) wait(ctx context.Context, container string) (leave func(), err error) {
	if s.limit == 0 {
		return func() {}, nil
	}
	t := s.join(container)
	if err := t.free.Acquire(ctx, 1); err != nil {
		s.part(container, t)
		return nil, fmt.Errorf("wait for one of %d commands in container %q to end: %w", s.limit, container, err)
	}
	return func() { s.leave(container, t) }, nil
}

// take takes a seat. The caller must call leave.
// Error: ErrResourceExhausted.
func (s *seats) take(container string) (leave func(), err error) {
	if s.limit == 0 {
		return func() {}, nil
	}
	t := s.join(container)
	if !t.free.TryAcquire(1) {
		s.part(container, t)
		return nil, fmt.Errorf("container %q has %d exec sessions already, as many as streamer.max_execs_per_container allows: %w",
			container, s.limit, errdefs.ErrResourceExhausted)
	}
	return func() { s.leave(container, t) }, nil
}

func (s *seats) leave(container string, t *table) {
	t.free.Release(1)
	s.part(container, t)
}

func (s *seats) join(container string) *table {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[container]
	if t == nil {
		t = &table{free: semaphore.NewWeighted(int64(s.limit))}
		if s.tables == nil {
			s.tables = make(map[string]*table)
		}
		s.tables[container] = t
	}
	t.users++
	return t
}

func (s *seats) part(container string, t *table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(s.tables, container)
	}
}
