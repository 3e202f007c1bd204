// Package catalog is the in-memory index of pods and of containers.
//
// Readers take an immutable map from an atomic pointer and never wait. A
// writer copies the map, which at a node's few thousand objects takes less
// time than any call to containerd. What the values say of themselves may
// change; that is theirs to guard.
package catalog

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/ident"
)

// Catalog maps ids to values. All methods may be called concurrently.
type Catalog[T any] struct {
	kind    string // for messages: "pod", "container"
	writing sync.Mutex
	current atomic.Pointer[map[string]T]

	begins sync.Mutex
	begun  map[string]T // what is being made
}

// New returns an empty catalog of things that messages call kind.
func New[T any](kind string) *Catalog[T] {
	c := &Catalog[T]{kind: kind, begun: make(map[string]T)}
	c.current.Store(&map[string]T{})
	return c
}

// All is the map as it is now. It must not be changed.
func (c *Catalog[T]) All() map[string]T { return *c.current.Load() }

// Get returns what has the id, or the one id that begins with it. Errors:
// InvalidArgument (empty, or the start of several ids), NotFound. What is no id
// at all is not found either: that is what Stop and Remove want to know.
func (c *Catalog[T]) Get(id string) (T, error) {
	var none T
	all := c.All()
	if found, ok := all[id]; ok {
		return found, nil
	}
	if id == "" {
		return none, fmt.Errorf("%s id is empty: %w", c.kind, errdefs.ErrInvalidArgument)
	}
	if err := ident.Check(c.kind+" id", id); err != nil {
		return none, fmt.Errorf("%s %.80q: %w", c.kind, id, errdefs.ErrNotFound)
	}
	match := ""
	for full := range all {
		if !strings.HasPrefix(full, id) {
			continue
		}
		if match != "" {
			return none, fmt.Errorf("%s id %q is the start of several ids: %w", c.kind, id, errdefs.ErrInvalidArgument)
		}
		match = full
	}
	if match == "" {
		return none, fmt.Errorf("%s %q: %w", c.kind, id, errdefs.ErrNotFound)
	}
	return all[match], nil
}

// Put adds or replaces.
func (c *Catalog[T]) Put(id string, value T) {
	c.change(func(m map[string]T) { m[id] = value })
}

// PutAll adds many at the price of one.
func (c *Catalog[T]) PutAll(values map[string]T) {
	c.change(func(m map[string]T) { maps.Copy(m, values) })
}

// Delete removes; what is not there is fine.
func (c *Catalog[T]) Delete(id string) {
	c.change(func(m map[string]T) { delete(m, id) })
}

// Begin notes what is being made and is not in the catalog yet, until end. It
// must be in the catalog before end, or be gone.
func (c *Catalog[T]) Begin(id string, value T) (end func()) {
	c.begins.Lock()
	defer c.begins.Unlock()
	c.begun[id] = value
	return func() {
		c.begins.Lock()
		defer c.begins.Unlock()
		delete(c.begun, id)
	}
}

// Begun returns what is being made.
func (c *Catalog[T]) Begun(id string) (T, bool) {
	c.begins.Lock()
	defer c.begins.Unlock()
	value, ok := c.begun[id]
	return value, ok
}

// Known are the ids of what is being made or in the catalog: the latter are
// read last, so that none is missed that goes from one to the other.
func (c *Catalog[T]) Known() map[string]bool {
	known := make(map[string]bool)
	c.begins.Lock()
	for id := range c.begun {
		known[id] = true
	}
	c.begins.Unlock()
	for id := range c.All() {
		known[id] = true
	}
	return known
}

func (c *Catalog[T]) change(apply func(map[string]T)) {
	c.writing.Lock()
	defer c.writing.Unlock()
	next := maps.Clone(c.All())
	apply(next)
	c.current.Store(&next)
}
