// Package podtest has fakes of all that pods are made of, for tests of pods
// and of what works with pods.
//
// Each fake keeps its things in memory, is safe for concurrent use, and asks
// one set of Faults before and after each effect. So a test fails, or holds up,
// any call of any fake by its name, and Leftovers tells what is still there.
package podtest

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrInjected is the error of calls that a test lets fail.
var ErrInjected = errors.New("injected")

// When is the moment of a call that a hook is for.
type When string

// The moments: before anything is done, and when it is done but the caller
// has not heard of it.
const (
	Before When = "before"
	After  When = "after"
)

// Faults has hooks for calls of fakes. The zero value is ready.
type Faults struct {
	mu    sync.Mutex
	calls []string
	hooks map[string]func(context.Context) error
}

// On has hook called at each call of that name, such as "Pins.Create". The
// call fails with the hook's error. A nil hook removes it.
func (f *Faults) On(call string, when When, hook func(ctx context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hooks == nil {
		f.hooks = make(map[string]func(context.Context) error)
	}
	f.hooks[call+" "+string(when)] = hook
}

// Fail makes the next times calls of that name fail with ErrInjected.
func (f *Faults) Fail(call string, when When, times int) {
	var mu sync.Mutex
	f.On(call, when, func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		times--
		if times < 0 {
			return nil
		}
		return ErrInjected
	})
}

// Hold makes calls of that name wait before their effect, until release is
// called or their context ends. Each that begins to wait sends to entered.
func (f *Faults) Hold(call string) (entered <-chan struct{}, release func()) {
	begun, gate := make(chan struct{}, 100), make(chan struct{})
	f.On(call, Before, func(ctx context.Context) error {
		begun <- struct{}{}
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	return begun, sync.OnceFunc(func() { close(gate) })
}

// Calls are the names of the calls so far, in order, and forgets them.
func (f *Faults) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

// Called tells how often there was a call of that name.
func (f *Faults) Called(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if c == call {
			n++
		}
	}
	return n
}

// Steps are the names of the calls so far, each once, sorted.
func (f *Faults) Steps() []string {
	steps := f.Calls()
	slices.Sort(steps)
	return slices.Compact(steps)
}

// Do is one call of a fake: the hooks, with the effect between them.
func (f *Faults) Do(ctx context.Context, call string, effect func() error) error {
	f.mu.Lock()
	f.calls = append(f.calls, call)
	before, after := f.hooks[call+" "+string(Before)], f.hooks[call+" "+string(After)]
	f.mu.Unlock()
	if before != nil {
		if err := before(ctx); err != nil {
			return err
		}
	}
	if err := effect(); err != nil {
		return err
	}
	if after != nil {
		return after(ctx)
	}
	return nil
}
