package supervisor_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/launcher/supervisor"
)

// answer is what a call of Restart returned.
type answer struct {
	generation int64
	err        error
}

// ask calls Restart beside the test, which has then been taken.
func ask(t *testing.T, s *supervisor.Supervisor, reason string, p *supervisor.Plan) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		generation, err := s.Restart(t.Context(), reason, p)
		answers <- answer{generation, err}
	}()
	synctest.Wait()
	return answers
}

func generation(t *testing.T, answers <-chan answer, want int64) {
	t.Helper()
	if a := <-answers; a.err != nil || a.generation != want {
		t.Errorf("answer is generation %d, %v; want %d", a.generation, a.err, want)
	}
}

func TestRestartStopsAllAndAnswersWhenItServes(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		serve(t, s)
		before := time.Now()
		generation(t, ask(t, s, "by hand", nil), 2)
		if took := time.Since(before); took != 0 {
			t.Errorf("a restart that was asked for paused %s", took)
		}
		expect(t, w.since(3), "stop runtime SIGTERM", "end runtime",
			"stop netsync SIGTERM | stop streamer SIGTERM | end netsync | end streamer",
			"start netsync | start streamer", "start runtime")
		now := s.Snapshot()
		if now.Restarts != 1 || len(now.History) != 1 || now.History[0].Reason != "by hand" || now.History[0].Generation != 2 {
			t.Errorf("snapshot is %+v", now)
		}
	})
}

func TestRestartsAreJoined(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		serve(t, s)
		w.behave("runtime", traits{deaf: true}) // the stop takes a while
		first := ask(t, s, "first", nil)
		second := ask(t, s, "second", nil) // while the old generation stops
		w.mu.Lock()
		w.traits["runtime"] = traits{unready: true}
		w.mu.Unlock()
		time.Sleep(limits.Stop + time.Second)
		third := ask(t, s, "third", nil) // while the new one starts
		w.behave("runtime", traits{})
		generation(t, first, 2)
		generation(t, second, 2)
		generation(t, third, 2)
		if now := s.Snapshot(); now.Generation != 2 || len(now.History) != 1 {
			t.Errorf("snapshot is %+v", now)
		}
	})
}

func TestNewPlanIsNeverJoinedToAnOldOne(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		serve(t, s)
		w.behave("runtime", traits{unready: true})
		old := ask(t, s, "reload", plan("2"))
		time.Sleep(time.Second)
		same := ask(t, s, "reload", plan("2"))
		next := ask(t, s, "reload again", plan("3", "runtime"))
		w.behave("runtime", traits{})
		generation(t, old, 3)
		generation(t, same, 3)
		generation(t, next, 3)
		if m := member(t, s, "runtime"); m.Critical {
			t.Errorf("the plan is not the last one: %+v", m)
		}
	})
}

func TestRestartThatDoesNotServe(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		serve(t, s)
		w.behave("runtime", traits{})
		w.mu.Lock()
		w.traits["runtime"] = traits{exits: true}
		w.mu.Unlock()
		a := <-ask(t, s, "", nil)
		if !errdefs.IsUnavailable(a.err) || !strings.Contains(a.err.Error(), "generation 2 does not serve: runtime: exit code 1: no luck") {
			t.Errorf("answer is %+v", a)
		}
		w.behave("runtime", traits{})
		serve(t, s) // it goes on trying
	})
}

func TestRestartCutsAPauseShort(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		w.behave("netsync", traits{exits: true})
		time.Sleep(time.Minute)
		synctest.Wait()
		w.behave("netsync", traits{})
		before := s.Snapshot()
		begun := time.Now()
		generation(t, ask(t, s, "now", nil), before.Generation+1)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it took %s", took)
		}
		if now := s.Snapshot(); now.Restarts != int(now.Generation)-1 {
			t.Errorf("snapshot is %+v", now)
		}
	})
}

func TestCallerThatLeavesChangesNothing(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		serve(t, s)
		w.behave("runtime", traits{unready: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Restart(ctx, "impatient", nil); err == nil || !strings.Contains(err.Error(), "wait for the new generation") {
			t.Errorf("error is %v", err)
		}
		w.behave("runtime", traits{})
		serve(t, s)
		if now := s.Snapshot(); now.Generation != 2 {
			t.Errorf("snapshot is %+v", now)
		}
	})
}

func TestRestartWhileStopping(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		serve(t, s)
		w.behave("runtime", traits{unready: true})
		waiting := ask(t, s, "", nil)
		time.Sleep(time.Second)
		w.stop()
		if a := <-waiting; !errdefs.IsUnavailable(a.err) {
			t.Errorf("answer is %+v", a)
		}
		if _, err := s.Restart(t.Context(), "", nil); !errdefs.IsUnavailable(err) {
			t.Errorf("error after the end is %v", err)
		}
	})
}
