package image

import (
	"maps"
	"sync"
	"sync/atomic"
)

// index holds the current view. Readers take it without waiting.
//
// Whoever wants to change it takes a ticket first, then reads containerd, then
// applies what he read. A result is dropped if a later ticket has been applied
// to the same name, because that was read later; so no lock is held while
// containerd is asked, and an old answer never replaces a newer one.
type index struct {
	pinned  func(Image) bool
	current atomic.Pointer[view]

	mu      sync.Mutex
	last    uint64            // ticket handed out last
	applied map[string]uint64 // by name, since floor
	floor   uint64            // applied to all names
}

func newIndex(pinned func(Image) bool) *index {
	x := &index{pinned: pinned, applied: make(map[string]uint64)}
	x.current.Store(newView(nil, pinned))
	return x
}

// load returns the current view.
func (x *index) load() *view { return x.current.Load() }

// ticket must be taken before containerd is read.
func (x *index) ticket() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.last++
	return x.last
}

// apply records what one name is; nil if it does not exist.
func (x *index) apply(ticket uint64, name string, found *record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if ticket < max(x.applied[name], x.floor) {
		return
	}
	x.applied[name] = ticket
	records := maps.Clone(x.load().records)
	if records == nil {
		records = make(map[string]record)
	}
	if found == nil {
		delete(records, name)
	} else {
		records[name] = *found
	}
	x.current.Store(newView(records, x.pinned))
}

// applyAll records what all names are: a name that is not in found does not
// exist.
func (x *index) applyAll(ticket uint64, found map[string]record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if ticket < x.floor {
		return
	}
	x.floor = ticket
	records := maps.Clone(found)
	before := x.load().records
	for name, applied := range x.applied {
		if applied <= ticket {
			delete(x.applied, name)
			continue
		}
		delete(records, name)
		if newer, ok := before[name]; ok {
			records[name] = newer
		}
	}
	x.current.Store(newView(records, x.pinned))
}
