package pod_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	recordv1 "github.com/trivet-cri/trivet/proto/record/v1"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
	"github.com/trivet-cri/trivet/runtime/podfiles"
)

// recovered is a new process in the same world.
func recovered(t *testing.T, w *podtest.World, edits ...func(*pod.Deps)) *pod.Service {
	t.Helper()
	deps := w.Deps()
	for _, edit := range edits {
		edit(&deps)
	}
	s := pod.New(deps)
	t.Cleanup(s.Close)
	if err := s.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRecover(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	before, err := newService(t, w).Run(t.Context(), podtest.SharedPID("web"), "other")
	if err != nil {
		t.Fatal(err)
	}
	s := recovered(t, w)
	p := s.All()[before.ID]
	was, is := before.State(), p.State()
	if !is.Ready || !slices.Equal(is.IPs, was.IPs) || is.Network != was.Network {
		t.Errorf("state %+v, was %+v", is, was)
	}
	if p.Namespaces != before.Namespaces || p.Files != before.Files || p.HandlerName != "other" || p.Handler.Snapshotter != "native" ||
		!p.CreatedAt.Equal(before.CreatedAt) || !proto.Equal(p.Config, before.Config) || p.SELinux != before.SELinux {
		t.Errorf("pod %+v, was %+v", p, before)
	}
	if !p.SharesPID() || is.PausePID != 0 {
		t.Errorf("the pause container is known unasked: %d", is.PausePID)
	}
	s.Verify(t.Context())
	if got := p.State(); got.PausePID != was.PausePID || !got.Ready {
		t.Errorf("after asking: %+v", got)
	}
	again, err := s.Run(t.Context(), podtest.SharedPID("web"), "other")
	if again != p || err != nil {
		t.Errorf("a retry of its start gets %v, %v", again, err)
	}
	// A handler that is not configured any more.
	s = recovered(t, w, func(d *pod.Deps) { delete(d.Config.Handlers, "other") })
	if p := s.All()[before.ID]; p == nil || !p.State().Ready {
		t.Error("a pod is lost with its handler")
	}
}

func TestRecoverFails(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	w.Fail("Records.List", podtest.Before, 1)
	injected(t, newService(t, w).Recover(t.Context()))
}

func TestRecoverNotReady(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(w *podtest.World, id string){
		"reboot":           func(w *podtest.World, _ string) { w.Reboot() },
		"files are gone":   func(w *podtest.World, id string) { w.Files.Drop(id) },
		"pins are gone":    func(w *podtest.World, id string) { w.Pins.Drop(id) },
		"pins are dead":    func(w *podtest.World, id string) { w.Pins.Put(id, kill(w, id)) },
		"a pin is missing": func(w *podtest.World, id string) { w.Pins.Put(id, lessIPC(w, id)) },
		"another boot": func(w *podtest.World, id string) {
			one, _ := w.Records.Get(id)
			one.Record.BootId = "earlier"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := podtest.New()
			id := run(t, newService(t, w), podtest.Sandbox("web")).ID
			harm(w, id)
			s := recovered(t, w)
			p := s.All()[id]
			if p == nil || p.State().Ready {
				t.Fatalf("pod %v counts as ready", p)
			}
			if err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(w.Network.IDs()) != 1 {
				t.Error("its address is given away before it is stopped")
			}
			if err := s.Remove(t.Context(), p, nothing, nothing); err != nil {
				t.Fatal(err)
			}
			empty(t, w)
		})
	}
}

func kill(w *podtest.World, id string) podtest.Pin {
	pin, _ := w.Pins.Get(id)
	pin.Dead = true
	return pin
}

func lessIPC(w *podtest.World, id string) podtest.Pin {
	pin, _ := w.Pins.Get(id)
	pin.Request.IPC = false
	return pin
}

func TestQuarantine(t *testing.T) {
	t.Parallel()
	garbage := &recordv1.Pod{Config: []byte("\xff\xff\xff")}
	for name, harm := range map[string]func(engine.PodRecord) engine.PodRecord{
		"record": func(r engine.PodRecord) engine.PodRecord { r.Err = podtest.ErrInjected; return r },
		"config": func(r engine.PodRecord) engine.PodRecord { r.Record = garbage; return r },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := podtest.New()
			s := newService(t, first)
			id, good := run(t, s, podtest.SharedPID("web")).ID, run(t, s, podtest.Sandbox("other"))
			one, _ := first.Records.Get(id)
			first.Records.Put(id, harm(one))
			s = recovered(t, first)
			if bad := s.Quarantine(); len(bad) != 1 || bad[id] == nil {
				t.Fatalf("quarantine: %v", bad)
			}
			if len(s.All()) != 1 || s.All()[good.ID] == nil {
				t.Errorf("pods %v", s.All())
			}
			if err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if left := first.Leftovers(); len(left) != 5+4 {
				t.Errorf("the sweep has taken from a quarantined pod: %v", left)
			}
			if found, err := s.RemoveQuarantined(t.Context(), good.ID); found || err != nil {
				t.Errorf("a good pod: %v, %v", found, err)
			}
			for _, step := range []string{"Pauses.Remove", "Network.Detach", "Pins.Remove", "Files.Remove", "Records.Delete"} {
				first.Fail(step, podtest.Before, 1)
				found, err := s.RemoveQuarantined(t.Context(), id)
				if !found || !errors.Is(err, podtest.ErrInjected) {
					t.Errorf("%s fails: %v, %v", step, found, err)
				}
				if len(first.Records.IDs()) != 2 {
					t.Errorf("%s fails, and the record is gone", step)
				}
			}
			if found, err := s.RemoveQuarantined(t.Context(), id); !found || err != nil {
				t.Errorf("removal: %v, %v", found, err)
			}
			if found, err := s.RemoveQuarantined(t.Context(), id); found || err != nil {
				t.Errorf("once more: %v, %v", found, err)
			}
			if left := first.Leftovers(); len(left) != 4 || len(s.Quarantine()) > 0 {
				t.Errorf("left over: %v; quarantine %v", left, s.Quarantine())
			}
		})
	}
}

// TestSameMetadata: of two pods with the same metadata the one that is ready
// answers for both.
func TestSameMetadata(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	dead := run(t, newService(t, w), podtest.Sandbox("web")).ID
	ready := run(t, newService(t, w), podtest.Sandbox("web")).ID
	w.Pins.Drop(dead)
	s := recovered(t, w)
	if len(s.All()) != 2 {
		t.Fatalf("pods %v", s.All())
	}
	if p := run(t, s, podtest.Sandbox("web")); p.ID != ready {
		t.Errorf("the dead one answers: %v", p.ID == dead)
	}
	if err := s.Remove(t.Context(), s.All()[dead], nothing, nothing); err != nil {
		t.Fatal(err)
	}
	if p := run(t, s, podtest.Sandbox("web")); p.ID != ready {
		t.Error("after the dead one's removal the other does not answer")
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := podtest.New()
		first := pod.New(w.Deps())
		defer first.Close()
		alive, dead := run(t, first, podtest.SharedPID("alive")), run(t, first, podtest.SharedPID("dead"))
		stopped := run(t, first, podtest.SharedPID("stopped")).ID
		w.Pauses.Drop(dead.ID)
		s := pod.New(w.Deps())
		defer s.Close()
		if err := s.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Stop(t.Context(), s.All()[stopped], nothing); err != nil {
			t.Fatal(err)
		}
		w.Fail("Pauses.Look", podtest.Before, 3) // containerd is away for a moment
		s.Verify(t.Context())
		if state := s.All()[alive.ID].State(); !state.Ready || state.PausePID != alive.State().PausePID {
			t.Errorf("alive: %+v", state)
		}
		if state := s.All()[dead.ID].State(); state.Ready || state.PausePID != 0 {
			t.Errorf("dead: %+v", state)
		}
		if state := s.All()[stopped].State(); state.Ready || state.PausePID != 0 {
			t.Errorf("stopped: %+v", state)
		}
	})
}

// TestVerifyHangs: a shim that does not answer keeps no other pod waiting.
func TestVerifyHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := podtest.New()
		first := pod.New(w.Deps())
		defer first.Close()
		for _, name := range []string{"one", "two", "three"} {
			run(t, first, podtest.SharedPID(name))
		}
		s := pod.New(w.Deps())
		defer s.Close()
		if err := s.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		var hung atomic.Bool
		gate := make(chan struct{})
		w.On("Pauses.Look", podtest.Before, func(context.Context) error {
			if hung.CompareAndSwap(false, true) {
				<-gate
			}
			return nil
		})
		var verifying sync.WaitGroup
		verifying.Go(func() { s.Verify(t.Context()) })
		synctest.Wait()
		found := 0
		for _, p := range s.All() {
			if p.State().PausePID != 0 {
				found++
			}
		}
		if found != 2 {
			t.Errorf("%d of the two others are found", found)
		}
		close(gate)
		verifying.Wait()
	})
}

// TestStoppedWhileVerified: what Verify has heard is old by then.
func TestStoppedWhileVerified(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := podtest.New()
		first := pod.New(w.Deps())
		defer first.Close()
		id := run(t, first, podtest.SharedPID("web")).ID
		s := pod.New(w.Deps())
		defer s.Close()
		if err := s.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		p := s.All()[id]
		w.On("Pauses.Look", podtest.After, func(ctx context.Context) error { return s.Stop(ctx, p, nothing) })
		s.Verify(t.Context())
		if state := p.State(); state.Ready || state.PausePID != 0 {
			t.Errorf("a stopped pod has the state %+v", state)
		}
	})
}

// TestSweep removes what is of no pod, and only that.
func TestSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := podtest.New()
		s := pod.New(w.Deps())
		defer s.Close()
		p := run(t, s, podtest.Sandbox("web"))
		const stray = "0badcafe"
		w.Pins.Put(stray, podtest.Pin{})
		w.Files.Put(stray, podfiles.Request{})
		w.Network.Put(stray, podtest.Attached{})
		// One that starts meanwhile has everything but a record.
		entered, release := w.Hold("Records.Create")
		started := make(chan error, 1)
		go func() {
			_, err := s.Run(t.Context(), podtest.Sandbox("late"), "")
			started <- err
		}()
		<-entered
		for _, step := range []string{"Pins.Remove", "Files.Remove", "Network.Sweep"} {
			w.Fail(step, podtest.Before, 1)
			injected(t, s.Sweep(t.Context()))
		}
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := w.Leftovers(); len(left) != 4+3 {
			t.Errorf("left over: %v", left)
		}
		release()
		if err := <-started; err != nil {
			t.Error(err)
		}
		if _, err := s.Get(p.ID); err != nil {
			t.Error(err)
		}
		if err := s.Sweep(t.Context()); err != nil || len(w.Leftovers()) != 8 {
			t.Errorf("afterwards: %v, %v", err, w.Leftovers())
		}
	})
}

// TestSweepIsAsOf: what begins once the pods have been listed is not swept.
func TestSweepIsAsOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := podtest.New()
		s := pod.New(w.Deps())
		defer s.Close()
		w.Network.Put("0badcafe", podtest.Attached{Begun: time.Now()})
		w.On("Network.Sweep", podtest.Before, func(context.Context) error {
			time.Sleep(time.Second) // of the bubble's clock
			w.Network.Put("1a7e", podtest.Attached{Begun: time.Now()})
			return nil
		})
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := w.Network.IDs(); !slices.Equal(left, []string{"1a7e"}) {
			t.Errorf("left over: %v", left)
		}
	})
}

func TestEnterNotReady(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	id := run(t, newService(t, w), podtest.Sandbox("web")).ID
	w.Reboot()
	if _, err := recovered(t, w).All()[id].Enter(); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("entered: %v", err)
	}
}
