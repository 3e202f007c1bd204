package pod_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

func TestStopAndRemove(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	s := newService(t, w)
	p := run(t, s, podtest.SharedPID("web"))
	other := run(t, s, podtest.Sandbox("other"))
	ips := p.State().IPs
	for range 2 {
		if err := s.Stop(t.Context(), p, nothing); err != nil {
			t.Fatal(err)
		}
		if state := p.State(); state.Ready || state.PausePID != 0 || !slices.Equal(state.IPs, ips) {
			t.Errorf("state %+v", state)
		}
		left := slices.DeleteFunc(w.Leftovers(), func(one string) bool { return one[len(one)-len(other.ID):] == other.ID })
		if !slices.Equal(left, []string{"record " + p.ID}) {
			t.Errorf("left over: %v", left)
		}
	}
	for range 2 {
		if err := s.Remove(t.Context(), p, nothing, nothing); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Get(p.ID); !errdefs.IsNotFound(err) {
		t.Errorf("after the removal: %v", err)
	}
	if again := run(t, s, podtest.SharedPID("web")); again.ID == p.ID {
		t.Error("a removed pod is back")
	}
}

// TestRemoveFails lets each step of the removal fail once: the record stays to
// the last, and the retry removes all.
func TestRemoveFails(t *testing.T) {
	t.Parallel()
	reference := podtest.New()
	s := newService(t, reference)
	p := run(t, s, podtest.SharedPID("web"))
	reference.Calls()
	if err := s.Remove(t.Context(), p, nothing, nothing); err != nil {
		t.Fatal(err)
	}
	calls := reference.Calls()
	if len(calls) != 5 || calls[4] != "Records.Delete" {
		t.Errorf("order: %v, want the record last of five", calls)
	}
	eachFailure(t, calls, func(t *testing.T, step string, when podtest.When) {
		w := podtest.New()
		s := newService(t, w)
		p := run(t, s, podtest.SharedPID("web"))
		w.Fail(step, when, 1)
		injected(t, s.Remove(t.Context(), p, nothing, nothing))
		if len(w.Records.IDs()) != 1 && step != "Records.Delete" {
			t.Error("the record is gone before the rest")
		}
		if p.State().Ready {
			t.Error("it still counts as ready")
		}
		if _, err := s.Get(p.ID); err != nil {
			t.Errorf("it cannot be asked for again: %v", err)
		}
		// Each step is tried also after another has failed.
		if left := w.Leftovers(); len(left) > 2 {
			t.Errorf("left over: %v", left)
		}
		if err := s.Remove(t.Context(), p, nothing, nothing); err != nil {
			t.Fatal(err)
		}
		empty(t, w)
	})
}

// TestContainersDoNotStop: the network stays as long as containers run.
func TestContainersDoNotStop(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	s := newService(t, w)
	p := run(t, s, podtest.SharedPID("web"))
	w.Calls()
	busy := func(context.Context) error { return podtest.ErrInjected }
	injected(t, s.Stop(t.Context(), p, busy))
	injected(t, s.Remove(t.Context(), p, busy, nothing))
	if calls := w.Calls(); len(calls) > 0 {
		t.Errorf("calls %v", calls)
	}
	if _, err := p.Enter(); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a container can still be made: %v", err)
	}
	injected(t, s.Remove(t.Context(), p, nothing, busy))
	if left := w.Leftovers(); len(left) != 1 {
		t.Errorf("left over: %v, want the record", left)
	}
	if err := s.Remove(t.Context(), p, nothing, nothing); err != nil {
		t.Fatal(err)
	}
	empty(t, w)
}

// TestStopWaitsForGuests: containers are stopped only once no more of them is
// being made.
func TestStopWaitsForGuests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := podtest.New()
		s := pod.New(w.Deps())
		defer s.Close()
		p := run(t, s, podtest.Sandbox("web"))
		leave, err := p.Enter()
		if err != nil {
			t.Fatal(err)
		}
		leaveToo, err := p.Enter()
		if err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Stop(short, p, nothing); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with guests inside: %v", err)
		}
		if _, err := p.Enter(); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("entered while it is stopped: %v", err)
		}
		stopped := make(chan error, 1)
		go func() { stopped <- s.Stop(t.Context(), p, nothing) }()
		leave()
		leave() // once only
		synctest.Wait()
		select {
		case err := <-stopped:
			t.Fatalf("stopped with a guest inside: %v", err)
		default:
		}
		// Meanwhile others are told that it is busy, and readers do not wait.
		busy, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Remove(busy, p, nothing, nothing); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second operation: %v", err)
		}
		if !p.State().Ready {
			t.Error("not ready before its containers are stopped")
		}
		leaveToo()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

func TestPauseExited(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	s := newService(t, w)
	p, without := run(t, s, podtest.SharedPID("web")), run(t, s, podtest.Sandbox("other"))
	for id, want := range map[string]bool{p.ID[:1]: false, p.ID[:20]: false, "": false, "unknown": false, without.ID: true} {
		if got := s.PauseExited(t.Context(), id); got != want {
			t.Errorf("%q is a pod's: %v", id, got)
		}
	}
	if !p.State().Ready || !without.State().Ready {
		t.Error("an exit that is not its pause container's ends a pod")
	}
	if !s.PauseExited(t.Context(), p.ID) {
		t.Error("the exit is not the pod's")
	}
	if state := p.State(); state.Ready || state.PausePID != 0 {
		t.Errorf("state %+v", state)
	}
	if _, err := p.Enter(); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("entered: %v", err)
	}
	if err := s.Remove(t.Context(), p, nothing, nothing); err != nil {
		t.Fatal(err)
	}
}

// TestPauseExitsDuringStart: the event may come before the pod is there.
func TestPauseExitsDuringStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := podtest.New()
		s := pod.New(w.Deps())
		defer s.Close()
		entered, release := w.Hold("Records.Create")
		result := make(chan *pod.Pod, 1)
		go func() {
			p, _ := s.Run(t.Context(), podtest.SharedPID("web"), "")
			result <- p
		}()
		<-entered
		told := make(chan bool, 1)
		go func() { told <- s.PauseExited(t.Context(), w.Pauses.IDs()[0]) }()
		synctest.Wait()
		release()
		p := <-result
		if !<-told || p == nil {
			t.Fatalf("the exit is nobody's; the pod is %v", p)
		}
		if p.State().Ready {
			t.Error("a pod whose pause container has ended is ready")
		}
	})
}
