package attach_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/netsync/attach"
	"github.com/trivet-cri/trivet/netsync/plugin/plugintest"
)

func TestGCWaitsUntilNobodyIsInside(t *testing.T) {
	t.Parallel()
	gates := attach.NewGates()
	leaveFirst, err := gates.Enter(t.Context(), "net")
	if err != nil {
		t.Fatal(err)
	}
	leaveSecond, err := gates.Enter(t.Context(), "net")
	if err != nil {
		t.Fatal(err)
	}
	var ran atomic.Bool
	var group errgroup.Group
	group.Go(func() error {
		return gates.Alone(t.Context(), "net", func(context.Context) error { ran.Store(true); return nil })
	})
	plugintest.Eventually(t, "GC to wait", func() bool { return gates.Waiting("net") })
	leaveFirst()
	if ran.Load() || !gates.Waiting("net") {
		t.Error("GC ran beside an operation")
	}
	// Another network is another gate.
	if err := gates.Alone(t.Context(), "other", func(context.Context) error { return nil }); err != nil {
		t.Error(err)
	}
	leaveSecond()
	if err := group.Wait(); err != nil || !ran.Load() {
		t.Errorf("GC ran: %v, %v", ran.Load(), err)
	}
}

func TestPodsPushGCAside(t *testing.T) {
	t.Parallel()
	gates := attach.NewGates()
	inside := make(chan struct{})
	var gone atomic.Bool
	var group errgroup.Group
	group.Go(func() error {
		return gates.Alone(t.Context(), "net", func(ctx context.Context) error {
			close(inside)
			<-ctx.Done()
			gone.Store(true)
			return ctx.Err()
		})
	})
	<-inside
	leave, err := gates.Enter(t.Context(), "net")
	if err != nil || !gone.Load() {
		t.Errorf("entered beside GC: %v", err)
	}
	leave()
	if err := group.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("GC says %v", err)
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	leave, err = gates.Enter(t.Context(), "net")
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	if err := gates.Alone(impatient, "net", func(context.Context) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a GC that may not wait: %v", err)
	}
}
