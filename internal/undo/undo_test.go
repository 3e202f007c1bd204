package undo_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/trivet-cri/trivet/internal/undo"
)

type key struct{}

func TestRunCallsAllNewestFirst(t *testing.T) {
	t.Parallel()
	var stack undo.Stack
	var order []string
	boom, crash := errors.New("boom"), errors.New("crash")
	stack.Add("record", func(context.Context) error { order = append(order, "record"); return nil })
	stack.Add("netns", func(context.Context) error { order = append(order, "netns"); return boom })
	stack.Add("shm", func(context.Context) error { order = append(order, "shm"); return nil })
	stack.Add("fifo", func(context.Context) error { order = append(order, "fifo"); return crash })
	err := stack.Run(t.Context(), time.Second)
	if want := []string{"fifo", "shm", "netns", "record"}; !slices.Equal(order, want) {
		t.Errorf("order is %v, want %v", order, want)
	}
	if !errors.Is(err, boom) || !errors.Is(err, crash) || err.Error() != "undo fifo: crash\nundo netns: boom" {
		t.Errorf("error is %v", err)
	}
	if err := stack.Run(t.Context(), time.Second); err != nil || len(order) != 4 {
		t.Errorf("a second run: %v, %v", err, order)
	}
}

func TestReleaseForgets(t *testing.T) {
	t.Parallel()
	var stack undo.Stack
	stack.Add("x", func(context.Context) error { t.Error("called"); return nil })
	stack.Release()
	if err := stack.Run(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
	called := false
	stack.Add("y", func(context.Context) error { called = true; return nil })
	if err := stack.Run(t.Context(), time.Second); err != nil || !called {
		t.Errorf("after a release: %v, %t", err, called)
	}
}

// The operation's deadline is often what has failed it.
func TestRunHasItsOwnDeadline(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "trace"))
	cancel()
	var stack undo.Stack
	var seen []error
	stack.Add("waits for nothing", func(ctx context.Context) error {
		seen = append(seen, ctx.Err())
		return nil
	})
	stack.Add("hangs", func(ctx context.Context) error {
		seen = append(seen, ctx.Err())
		if ctx.Value(key{}) != "trace" {
			t.Error("the context lost its values")
		}
		<-ctx.Done()
		return ctx.Err()
	})
	begin := time.Now()
	err := stack.Run(ctx, 50*time.Millisecond)
	if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "undo hangs: context deadline exceeded" {
		t.Errorf("error is %v", err)
	}
	if took := time.Since(begin); took < 50*time.Millisecond || took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	if len(seen) != 2 || seen[0] != nil || !errors.Is(seen[1], context.DeadlineExceeded) {
		t.Errorf("contexts: %v", seen)
	}
}
