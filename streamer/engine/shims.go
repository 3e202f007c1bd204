package engine

import "sync"

// shims are the connections to the shims of processes, from their Exec to
// their Delete.
type shims struct {
	mu     sync.Mutex
	of     map[Process]*shim
	closed bool
}

// add reports false if no connection is wanted any more.
func (s *shims) add(p Process, one *shim) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.of == nil {
		s.of = make(map[Process]*shim)
	}
	s.of[p] = one
	return true
}

func (s *shims) get(p Process) (*shim, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.of[p]
	return one, ok
}

// drop closes the connection of a process, if it has one.
func (s *shims) drop(p Process) {
	s.mu.Lock()
	one, ok := s.of[p]
	delete(s.of, p)
	s.mu.Unlock()
	if ok {
		one.close()
	}
}

// close closes all; calls under way fail.
func (s *shims) close() {
	s.mu.Lock()
	open := s.of
	s.of, s.closed = nil, true
	s.mu.Unlock()
	for _, one := range open {
		one.close()
	}
}

// reach connects to the shim that will have a process. Without a connection
// containerd is asked.
func (e *Engine) reach(p Process) {
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
