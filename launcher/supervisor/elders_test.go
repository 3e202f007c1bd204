package supervisor_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/launcher/process"
	"github.com/trivet-cri/trivet/launcher/supervisor"
)

const drain = time.Hour

// handing is a plan whose streamer hands over.
func handing() *supervisor.Plan {
	p := plan("1")
	p.Limits.Drain = drain
	p.Stages[0][1].HandsOver = true
	return p
}

func handedOver(t *testing.T, script func(t *testing.T, w *world, s *supervisor.Supervisor)) {
	t.Helper()
	supervised(t, handing(), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		w.handsOver = true
		serve(t, s)
		script(t, w, s)
	})
}

// passed kills runtime and waits until the next generation serves; its events
// are returned.
func passed(t *testing.T, w *world, s *supervisor.Supervisor) []string {
	t.Helper()
	begin := len(w.since(0))
	w.die("runtime", process.Exit{Signal: unix.SIGKILL})
	time.Sleep(limits.Backoff.Max)
	serve(t, s)
	return w.since(begin)
}

func TestHandOver(t *testing.T) {
	t.Parallel()
	handedOver(t, func(t *testing.T, w *world, s *supervisor.Supervisor) {
		first := w.alive["streamer"]
		expect(t, passed(t, w, s), "end runtime", "stop netsync SIGTERM | end netsync",
			"start netsync | start streamer | hand over streamer", "start runtime")
		elders := s.Snapshot().Elders
		if len(elders) != 1 || elders[0].PID != first.pid || !elders[0].Draining || elders[0].Generation != 1 || elders[0].Name != "streamer" {
			t.Errorf("elders are %+v", elders)
		}
		if m := member(t, s, "streamer"); m.PID == first.pid || m.LastExit != "works on until its successor has started" {
			t.Errorf("streamer is %+v", m)
		}
		second := w.alive["streamer"]
		passed(t, w, s)
		if elders = s.Snapshot().Elders; len(elders) != 2 || elders[1].PID != second.pid {
			t.Errorf("elders are %+v", elders)
		}
		w.mu.Lock()
		first.end(process.Exit{}) // its last session has ended
		w.mu.Unlock()
		synctest.Wait()
		if elders = s.Snapshot().Elders; len(elders) != 1 || elders[0].PID != second.pid {
			t.Errorf("elders are %+v", elders)
		}
		begin := len(w.since(0))
		time.Sleep(drain)
		synctest.Wait()
		expect(t, w.since(begin), "stop streamer SIGTERM", "end streamer")
		if elders = s.Snapshot().Elders; len(elders) != 0 {
			t.Errorf("elders are %+v", elders)
		}
	})
}

// TestElderWorksThroughThePause: logs go on as long as there is no successor.
func TestElderWorksThroughThePause(t *testing.T) {
	t.Parallel()
	handedOver(t, func(t *testing.T, w *world, s *supervisor.Supervisor) {
		first := w.alive["streamer"]
		w.behave("netsync", traits{startErr: context.DeadlineExceeded})
		w.behave("streamer", traits{startErr: context.DeadlineExceeded})
		w.die("runtime", process.Exit{})
		time.Sleep(time.Minute)
		synctest.Wait()
		if elders := s.Snapshot().Elders; len(elders) != 1 || elders[0].Draining {
			t.Errorf("elders are %+v", elders)
		}
		w.behave("netsync", traits{})
		w.behave("streamer", traits{})
		time.Sleep(2 * limits.Backoff.Max)
		serve(t, s)
		if elders := s.Snapshot().Elders; len(elders) != 1 || !elders[0].Draining || elders[0].PID != first.pid {
			t.Errorf("elders are %+v", elders)
		}
	})
}

// TestElderThatDoesNotHandOver is stopped before its successor begins.
func TestElderThatDoesNotHandOver(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]traits{"refuses": {refuses: true}, "hangs": {hangs: true, deaf: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handedOver(t, func(t *testing.T, w *world, s *supervisor.Supervisor) {
				w.behave("streamer", test)
				w.mu.Lock()
				w.traits["streamer"] = traits{}
				w.mu.Unlock()
				begin := len(w.since(0))
				w.die("runtime", process.Exit{})
				time.Sleep(limits.Stop + 10*time.Second)
				serve(t, s)
				events := strings.Join(w.since(begin), ", ")
				if !strings.Contains(events, "stop streamer SIGTERM, end streamer, start runtime") {
					t.Errorf("events are %s", events)
				}
				if now := s.Snapshot(); len(now.Elders) != 0 || now.Generation != 2 {
					t.Errorf("snapshot is %+v", now)
				}
			})
		})
	}
}

func TestElderDiesBeforeItsSuccessorStarts(t *testing.T) {
	t.Parallel()
	handedOver(t, func(t *testing.T, w *world, s *supervisor.Supervisor) {
		w.behave("netsync", traits{deaf: true}) // so that the generation's end takes long
		w.die("runtime", process.Exit{})
		w.die("streamer", process.Exit{Signal: unix.SIGKILL})
		w.mu.Lock()
		w.traits["netsync"] = traits{}
		w.mu.Unlock()
		if elders := s.Snapshot().Elders; len(elders) != 0 {
			t.Errorf("elders are %+v", elders)
		}
		time.Sleep(limits.Stop + limits.Backoff.Max)
		serve(t, s)
	})
}

// TestNoElderAtTheEnd: the supervisor's end is everybody's.
func TestNoElderAtTheEnd(t *testing.T) {
	t.Parallel()
	handedOver(t, func(t *testing.T, w *world, s *supervisor.Supervisor) {
		passed(t, w, s)
		begin := len(w.since(0))
		w.stop()
		streamers := 0
		for _, event := range w.since(begin) {
			if event == "stop streamer SIGTERM" {
				streamers++
			}
		}
		if streamers != 2 || len(s.Snapshot().Elders) != 0 {
			t.Errorf("events are %q, elders %+v", w.since(begin), s.Snapshot().Elders)
		}
	})
}

// TestNoHandOver: with 0 sessions end with the restart, as they do when
// streamer itself has died.
func TestNoHandOver(t *testing.T) {
	t.Parallel()
	p := handing()
	p.Limits.Drain = 0
	supervised(t, p, func(t *testing.T, w *world, s *supervisor.Supervisor) {
		serve(t, s)
		expect(t, passed(t, w, s), "end runtime", "stop netsync SIGTERM | stop streamer SIGTERM | end netsync | end streamer",
			"start netsync | start streamer", "start runtime")
	})
	handedOver(t, func(t *testing.T, w *world, s *supervisor.Supervisor) {
		w.die("streamer", process.Exit{Signal: unix.SIGKILL})
		time.Sleep(limits.Backoff.Max)
		serve(t, s)
		if now := s.Snapshot(); len(now.Elders) != 0 || now.Generation != 2 {
			t.Errorf("snapshot is %+v", now)
		}
	})
}
