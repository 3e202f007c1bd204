package operation_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"

	"github.com/trivet-cri/trivet/runtime/operation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRetryJoins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := operation.New()
		defer o.Close()
		release := make(chan struct{})
		runs := 0
		work := func(ctx context.Context) (string, error) {
			runs++
			operation.Stage(ctx, "attach network")
			<-release
			return "the pod", ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := operation.Do(ctx, o, "k", "run pod a/b", time.Minute, work)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "attach network") || !strings.Contains(err.Error(), "run pod a/b") {
			t.Fatalf("the client that gave up gets %v", err)
		}
		list := o.List()
		if len(list) != 1 || list[0].Stage != "attach network" || list[0].What != "run pod a/b" || list[0].Age != 2*time.Second {
			t.Errorf("running: %v", list)
		}
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				got, err := operation.Do(t.Context(), o, "k", "run pod a/b", time.Minute, work)
				if got != "the pod" || err != nil {
					t.Errorf("the retry gets %q, %v", got, err)
				}
			})
		}
		synctest.Wait() // all have joined
		close(release)
		group.Wait()
		if runs != 1 {
			t.Errorf("the work ran %d times", runs)
		}
	})
}

func TestLimitAndErrors(t *testing.T) {
	t.Parallel()
	o := operation.New()
	defer o.Close()
	_, err := operation.Do(t.Context(), o, "a", "slow", time.Millisecond, func(ctx context.Context) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beyond the limit: %v", err)
	}
	_, err = operation.Do(t.Context(), o, "b", "wild", time.Minute, func(context.Context) (int, error) { panic("oh") })
	if !errdefs.IsInternal(err) || !strings.Contains(err.Error(), "oh") {
		t.Errorf("a panic gives %v", err)
	}
	if list := o.List(); len(list) != 0 {
		t.Errorf("left over: %v", list)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	o := operation.New()
	entered := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		_, err := operation.Do(t.Context(), o, "a", "waits", time.Minute, func(ctx context.Context) (int, error) {
			close(entered)
			<-ctx.Done()
			return 0, ctx.Err()
		})
		result <- err
	}()
	<-entered
	o.Close()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("cut off: %v", err)
	}
	_, err := operation.Do(t.Context(), o, "a", "late", time.Minute, func(context.Context) (int, error) { return 1, nil })
	if !errdefs.IsUnavailable(err) {
		t.Errorf("after the end: %v", err)
	}
}
