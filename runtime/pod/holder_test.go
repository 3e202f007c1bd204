package pod_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// TestSandboxOfShim follows a pod whose sandbox the shim makes, through a
// restart of this process, to the sandbox's end.
func TestSandboxOfShim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := podtest.New()
		s := pod.New(w.Deps())
		p, err := s.Run(t.Context(), podtest.SharedPID("vm"), "vm")
		if err != nil {
			t.Fatal(err)
		}
		pid, lives := w.Sandboxes.Get(p.ID)
		if !lives || p.SandboxID() != p.ID || !p.SharesPID() || p.State().PausePID != pid || len(w.Pauses.IDs()) > 0 {
			t.Errorf("state %+v, sandboxes %q, pause containers %q", p.State(), w.Sandboxes.IDs(), w.Pauses.IDs())
		}
		if _, err := s.Run(t.Context(), podtest.Sandbox("plain"), ""); err != nil {
			t.Fatal(err)
		}
		if n := w.Called("Sandboxes.Start"); n != 1 {
			t.Errorf("%d sandboxes for one pod that has one", n)
		}
		s.Close()

		// The configuration does not matter to a pod that exists.
		deps := w.Deps()
		delete(deps.Config.Handlers, "vm")
		s = pod.New(deps)
		defer s.Close()
		if err := s.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.Fail("Sandboxes.Wait", podtest.Before, 3) // containerd is away
		s.Verify(t.Context())
		if p, err = s.Get(p.ID); err != nil || !p.State().Ready || p.State().PausePID != pid || p.SandboxID() != p.ID {
			t.Fatalf("recovered: %+v, %v", p.State(), err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !p.State().Ready {
			t.Fatal("not ready although its sandbox lives")
		}
		w.Sandboxes.End(p.ID)
		synctest.Wait()
		if st := p.State(); st.Ready || st.PausePID != 0 {
			t.Errorf("after the sandbox's end: %+v", st)
		}
		if _, err := p.Enter(); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("it takes containers: %v", err)
		}
		if err := s.Remove(t.Context(), p, nothing, nothing); err != nil {
			t.Error(err)
		}
	})
}

// TestSandboxEndedMeanwhile: what ended while this process was away is found.
func TestSandboxEndedMeanwhile(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	s := pod.New(w.Deps())
	p, err := s.Run(t.Context(), podtest.Sandbox("vm"), "vm")
	if err != nil {
		t.Fatal(err)
	}
	if p.SharesPID() || p.State().PausePID != 0 {
		t.Errorf("a pod that shares no PID namespace: %+v", p.State())
	}
	s.Close()
	w.Sandboxes.End(p.ID)
	s = pod.New(w.Deps())
	defer s.Close()
	if err := s.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Verify(t.Context())
	if p, err = s.Get(p.ID); err != nil || p.State().Ready {
		t.Errorf("state %+v, %v", p.State(), err)
	}
}

// TestStreamEndpoint: where a pod's containers have their streams is decided at
// its start, and outlives this process.
func TestStreamEndpoint(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	s := pod.New(w.Deps())
	w.Sandboxes.Endpoint = "ttrpc+unix:///run/shim.sock"
	for _, handler := range []string{"vm", "runc"} {
		p, err := s.Run(t.Context(), podtest.Sandbox(handler), handler)
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		if handler == "vm" {
			want = w.Sandboxes.Endpoint
		}
		again := pod.New(w.Deps())
		if err := again.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		found, err := again.Get(p.ID)
		if err != nil {
			t.Fatal(err)
		}
		if p.StreamEndpoint() != want || found.StreamEndpoint() != want {
			t.Errorf("%s: endpoint %q, after a restart %q, want %q", handler, p.StreamEndpoint(), found.StreamEndpoint(), want)
		}
		again.Close()
	}
	s.Close()
}

// TestSandboxFailures fails each call that a pod of such a handler makes, at
// its start and at its end: nothing is left that a retry does not remove.
func TestSandboxFailures(t *testing.T) {
	t.Parallel()
	for _, when := range []podtest.When{podtest.Before, podtest.After} {
		w := podtest.New()
		s := pod.New(w.Deps())
		for _, step := range []string{"Pins.Create", "Network.Attach", "Sandboxes.Start", "Records.Create"} {
			w.Fail(step, when, 1)
			if _, err := s.Run(t.Context(), podtest.Sandbox("vm"), "vm"); !errors.Is(err, podtest.ErrInjected) {
				t.Errorf("%s %s: %v", when, step, err)
			}
			if left := w.Leftovers(); len(left) > 0 {
				t.Errorf("%s %s leaves %q", when, step, left)
			}
		}
		for _, step := range []string{"Sandboxes.Remove", "Network.Detach", "Pins.Remove", "Files.Remove", "Records.Delete"} {
			p, err := s.Run(t.Context(), podtest.Sandbox("vm"), "vm")
			if err != nil {
				t.Fatal(err)
			}
			w.Fail(step, when, 1)
			if err := s.Remove(t.Context(), p, nothing, nothing); !errors.Is(err, podtest.ErrInjected) {
				t.Errorf("%s %s: %v", when, step, err)
			}
			if err := s.Remove(t.Context(), p, nothing, nothing); err != nil {
				t.Errorf("%s %s, tried again: %v", when, step, err)
			}
			if left := w.Leftovers(); len(left) > 0 {
				t.Errorf("%s %s leaves %q", when, step, left)
			}
		}
		s.Close()
	}
}

// TestSweepOfHolders: a start that a crash cut short leaves a holder without a
// record.
func TestSweepOfHolders(t *testing.T) {
	t.Parallel()
	for _, cfg := range []string{"vm", "runc"} {
		w := podtest.New()
		s := pod.New(w.Deps())
		gone := func(context.Context) error { return podtest.ErrInjected }
		calls := []string{"Records.Create", "Pauses.Remove", "Sandboxes.Remove", "Network.Detach", "Pins.Remove", "Files.Remove"}
		for _, call := range calls {
			w.On(call, podtest.Before, gone)
		}
		if _, err := s.Run(t.Context(), podtest.SharedPID("cut"), cfg); err == nil {
			t.Fatal("it was not cut short")
		}
		s.Close()
		if len(w.Pauses.IDs())+len(w.Sandboxes.IDs()) != 1 {
			t.Fatalf("there is %q", w.Leftovers())
		}
		for _, call := range calls {
			w.On(call, podtest.Before, nil)
		}
		s = pod.New(w.Deps())
		w.Fail("Sandboxes.Remove", podtest.Before, 1)
		if err := s.Sweep(t.Context()); !errors.Is(err, podtest.ErrInjected) {
			t.Errorf("sweep with a failure: %v", err)
		}
		if err := s.Sweep(t.Context()); err != nil {
			t.Error(err)
		}
		if left := w.Leftovers(); len(left) > 0 {
			t.Errorf("%s: left: %q", cfg, left)
		}
		s.Close()
	}
}
