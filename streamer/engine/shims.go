package engine

import (
	"sync"
	"time"
)

// keepIdle is how long a connection that no process uses is worth keeping.
// Those that are older are closed when the next one is made.
const keepIdle = time.Minute

// shims are the connections to the shims of containers. A process has one from
// its Exec to its Delete, and leaves it for the container's next: probes come
// again and again. The end of a shim ends its connection.
type shims struct {
	mu     sync.Mutex
	of     map[Process]*shim
	kept   map[string]*shim // by container; what its next process gets
	closed bool
}

// reuse gives a process the connection that its container has.
func (s *shims) reuse(p Process) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.kept[p.Container]
	if ok {
		s.use(p, one)
	}
	return ok
}

// add gives a process a new connection. It reports false if none is wanted
// any more.
func (s *shims) add(p Process, one *shim) bool {
	s.sweep()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.of == nil {
		s.of, s.kept = make(map[Process]*shim), make(map[string]*shim)
	}
	s.kept[p.Container] = one // one that came at the same time ends with its process
	s.use(p, one)
	return true
}

func (s *shims) use(p Process, one *shim) {
	one.users++
	s.of[p] = one
}

// sweep closes what nobody has used for keepIdle.
func (s *shims) sweep() {
	var stale []*shim
	s.mu.Lock()
	for container, one := range s.kept {
		if one.users == 0 && time.Since(one.idle) > keepIdle {
			delete(s.kept, container)
			stale = append(stale, one)
		}
	}
	s.mu.Unlock()
	for _, one := range stale {
		one.close()
	}
}

func (s *shims) get(p Process) (*shim, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.of[p]
	return one, ok
}

// drop ends a process's use of a connection, if it has one. It is kept if it
// was good and is the container's.
func (s *shims) drop(p Process, good bool) {
	s.mu.Lock()
	one, ok := s.of[p]
	if !ok {
		s.mu.Unlock()
		return
	}
	delete(s.of, p)
	if !good {
		s.forget(p.Container, one)
	}
	one.users--
	one.idle = time.Now()
	unused := one.users == 0 && s.kept[p.Container] != one
	s.mu.Unlock()
	if unused {
		one.close()
	}
}

// lost is called when a connection has ended: no other process gets it.
func (s *shims) lost(container string, one *shim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(container, one)
}

func (s *shims) forget(container string, one *shim) {
	if s.kept[container] == one {
		delete(s.kept, container)
	}
}

// close closes all; calls under way fail.
func (s *shims) close() {
	s.mu.Lock()
	open := make(map[*shim]struct{})
	for _, one := range s.of {
		open[one] = struct{}{}
	}
	for _, one := range s.kept {
		open[one] = struct{}{}
	}
	s.of, s.kept, s.closed = nil, nil, true
	s.mu.Unlock()
	for one := range open {
		one.close()
	}
}

// reach connects a process to the shim that will have it. Without a connection
// containerd is asked.
func (e *Engine) reach(p Process) {
	if e.shims.reuse(p) {
		return
	}
	one, err := e.dialShim(p.Container)
	if err == nil && !e.shims.add(p, one) {
		one.close()
	}
}

// service is who is asked about a process: its shim or containerd.
func (e *Engine) service(p Process) service {
	if one, ok := e.shims.get(p); ok {
		return one
	}
	return e.tasks
}
