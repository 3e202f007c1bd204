package supervisor_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/launcher/process"
	"github.com/trivet-cri/trivet/launcher/supervisor"
)

func TestHangIsADeath(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		serve(t, s)
		w.behave("runtime", traits{silent: true, deaf: true})
		hung := time.Now()
		w.mu.Lock()
		w.traits["runtime"] = traits{} // the next one is well
		w.mu.Unlock()
		time.Sleep(3 * (limits.Interval + limits.Timeout))
		synctest.Wait()
		expect(t, w.since(3), "stop runtime SIGQUIT")
		time.Sleep(limits.Stop)
		serve(t, s)
		expect(t, w.since(3), "stop runtime SIGQUIT", "end runtime",
			"stop netsync SIGTERM | stop streamer SIGTERM | end netsync | end streamer",
			"start netsync | start streamer", "start runtime")
		now := s.Snapshot()
		if reason := now.History[0].Reason; !strings.HasPrefix(reason, "runtime: no answer to 3 health checks in a row: ") {
			t.Errorf("reason is %q", reason)
		}
		if took := now.History[0].At.Sub(hung); took > 3*(limits.Interval+limits.Timeout)+5*time.Second {
			t.Errorf("noticed and ended after %s", took)
		}
		if m := member(t, s, "runtime"); !strings.HasPrefix(m.LastExit, "no answer") {
			t.Errorf("runtime is %+v", m)
		}
	})
}

func TestMissedChecksBelowTheThreshold(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		serve(t, s)
		for range 3 { // two missed, then an answer: the count starts over
			w.behave("runtime", traits{silent: true})
			time.Sleep(2 * (limits.Interval + limits.Timeout))
			w.behave("runtime", traits{})
			time.Sleep(2 * (limits.Interval + limits.Timeout))
		}
		serve(t, s)
		if now := s.Snapshot(); now.Generation != 1 {
			t.Errorf("generation is %d: %v", now.Generation, now.History)
		}
	})
}

func TestNotServingIsShownAndNoDeath(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		serve(t, s)
		w.behave("runtime", traits{unready: true})
		time.Sleep(time.Hour)
		synctest.Wait()
		if m := member(t, s, "runtime"); m.State != supervisor.NotServing || m.PID == 0 {
			t.Errorf("runtime is %+v", m)
		}
		w.behave("runtime", traits{})
		time.Sleep(limits.Interval)
		serve(t, s)
		if now := s.Snapshot(); now.Generation != 1 {
			t.Errorf("generation is %d", now.Generation)
		}
	})
}

func TestStartTimeout(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		traits traits
		says   string
	}{
		"says no":    {traits{unready: true}, "streamer: does not serve 30s after its start: its health service says NOT_SERVING"},
		"no answer":  {traits{silent: true}, "streamer: does not serve 30s after its start: context deadline exceeded"},
		"never ends": {traits{unready: true, deaf: true}, "streamer: does not serve 30s after its start: its health service says NOT_SERVING"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
				w.behave("streamer", test.traits)
				time.Sleep(time.Second)
				w.mu.Lock()
				w.traits["streamer"] = traits{}
				w.mu.Unlock()
				time.Sleep(limits.Start + limits.Timeout + limits.Stop)
				serve(t, s)
				if now := s.Snapshot(); now.Generation != 2 || now.History[0].Reason != test.says {
					t.Errorf("snapshot is %+v", now)
				}
			})
		})
	}
}

func TestDeafMemberIsKilledAtStop(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		serve(t, s)
		w.behave("netsync", traits{deaf: true})
		w.die("runtime", process.Exit{Code: 3})
		died := time.Now()
		w.behave("netsync", traits{deaf: true})
		time.Sleep(limits.Stop)
		synctest.Wait()
		expect(t, w.since(3), "end runtime", "stop netsync SIGTERM | stop streamer SIGTERM | end streamer", "end netsync")
		if m := member(t, s, "netsync"); m.LastExit != "killed, it still ran 20s after it was asked to stop" {
			t.Errorf("netsync is %+v", m)
		}
		w.mu.Lock()
		w.traits["netsync"] = traits{}
		w.mu.Unlock()
		serve(t, s)
		if begun := w.starts["netsync"][1]; begun.Sub(died) < limits.Stop {
			t.Errorf("the new one started %s after the failure, beside the old one", begun.Sub(died))
		}
	})
}

func TestOptionalMemberIsRestartedAlone(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1", "netsync"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		serve(t, s)
		w.behave("netsync", traits{exits: true})
		w.die("netsync", process.Exit{Signal: unix.SIGKILL})
		time.Sleep(time.Second)
		synctest.Wait()
		if m := member(t, s, "netsync"); m.State != supervisor.BackingOff || m.LastExit != "exit code 1: no luck" {
			t.Errorf("netsync is %+v", m)
		}
		starts := w.starts["netsync"]
		for i := 2; i < len(starts); i++ {
			if pause, want := starts[i].Sub(starts[i-1]), limits.Backoff.Min<<(i-1); pause > want || pause < want*3/4 {
				t.Errorf("pause %d is %s, want about %s", i, pause, want)
			}
		}
		w.behave("netsync", traits{})
		serve(t, s)
		now := s.Snapshot()
		if now.Generation != 1 || now.Restarts != 0 || len(now.History) != len(starts) ||
			now.History[0].Reason != "netsync: killed by SIGKILL" || now.History[0].Generation != 1 {
			t.Errorf("after %d starts the snapshot is %+v", len(starts), now)
		}
		for _, name := range []string{"runtime", "streamer"} {
			if m := member(t, s, name); m.Restarts != 0 {
				t.Errorf("%s was restarted too: %+v", name, m)
			}
		}
	})
}

func TestOptionalMemberHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1", "netsync"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		w.behave("netsync", traits{exits: true})
		time.Sleep(time.Second)
		synctest.Wait()
		if m := member(t, s, "runtime"); m.State != supervisor.Serving {
			t.Errorf("runtime is %+v", m)
		}
		expect(t, w.told, "serving 1")
	})
}
