// Package undo releases what a failed operation has made so far.
//
// A Stack collects one function for each resource, added right after the
// step that made it. Run calls them last in, first out; Release forgets them
// because the operation succeeded. The functions get a context of their own:
// that of the operation is often what has just expired.
package undo

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Stack is a LIFO of release functions. The zero value is ready. It belongs
// to one operation and is not safe for concurrent use.
type Stack struct {
	steps []step
}

type step struct {
	name string
	fn   func(context.Context) error
}

// Add pushes fn. name is the resource, for the error.
func (s *Stack) Add(name string, fn func(context.Context) error) {
	s.steps = append(s.steps, step{name, fn})
}

// Release forgets everything.
func (s *Stack) Release() { s.steps = nil }

// Run calls what was added and not released, newest first, each also when
// an earlier one failed. The context keeps ctx's values (its trace) but not
// its end; all steps together have limit.
func (s *Stack) Run(ctx context.Context, limit time.Duration) error {
	if len(s.steps) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	var failed []error
	for i := len(s.steps) - 1; i >= 0; i-- {
		if err := s.steps[i].fn(ctx); err != nil {
			failed = append(failed, fmt.Errorf("undo %s: %w", s.steps[i].name, err))
		}
	}
	s.steps = nil
	return errors.Join(failed...)
}
