// Package latest holds a value that one part of the process replaces and
// others read or wait for.
//
// Readers get an immutable value from an atomic pointer and never wait.
// A watcher that is slow misses values in between, never the last one.
package latest

import (
	"sync"
	"sync/atomic"
)

// Value is the latest of a series of values. What it holds must not be
// changed after Set. It is safe for concurrent use.
type Value[T any] struct {
	mu      sync.Mutex // orders writers
	current atomic.Pointer[version[T]]
}

type version[T any] struct {
	value    T
	replaced chan struct{} // closed when a newer version exists
}

// New returns a Value that holds first.
func New[T any](first T) *Value[T] {
	v := &Value[T]{}
	v.current.Store(&version[T]{first, make(chan struct{})})
	return v
}

// Get returns the latest value.
func (v *Value[T]) Get() T { return v.current.Load().value }

// Watch returns the latest value and a channel that is closed once a newer
// one has been set.
func (v *Value[T]) Watch() (T, <-chan struct{}) {
	current := v.current.Load()
	return current.value, current.replaced
}

// Set replaces the value and wakes the watchers.
func (v *Value[T]) Set(value T) {
	v.Update(func(T) T { return value })
}

// Update replaces the value by what change makes of it. Updates happen one
// after the other; change must be quick and must not call Set or Update.
func (v *Value[T]) Update(change func(T) T) {
	v.mu.Lock()
	defer v.mu.Unlock()
	old := v.current.Load()
	v.current.Store(&version[T]{change(old.value), make(chan struct{})})
	close(old.replaced)
}
