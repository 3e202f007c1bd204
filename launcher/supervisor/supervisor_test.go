package supervisor_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/launcher/process"
	"github.com/trivet-cri/trivet/launcher/supervisor"
)

func TestStartsInOrder(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		w.behave("netsync", traits{unready: true})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		expect(t, w.since(0), "start netsync | start streamer")
		if m := member(t, s, "streamer"); m.State != supervisor.Serving {
			t.Errorf("streamer is %s", m.State)
		}
		if m := member(t, s, "netsync"); m.State != supervisor.Starting || m.PID == 0 || m.StartedAt.IsZero() {
			t.Errorf("netsync is %+v", m)
		}
		if m := member(t, s, "runtime"); m.State != supervisor.Stopped || m.PID != 0 {
			t.Errorf("runtime is %+v", m)
		}
		w.behave("netsync", traits{})
		serve(t, s)
		expect(t, w.since(2), "start runtime")
		expect(t, w.told, "serving 1")
		if now := s.Snapshot(); now.Generation != 1 || now.Restarts != 0 || len(now.History) != 0 {
			t.Errorf("snapshot is %+v", now)
		}
	})
}

func TestStopsInReverse(t *testing.T) {
	t.Parallel()
	var w *world
	supervised(t, plan("1"), func(t *testing.T, world *world, s *supervisor.Supervisor) {
		w = world
		serve(t, s)
	})
	expect(t, w.events[3:], "stop runtime SIGTERM", "end runtime",
		"stop netsync SIGTERM | stop streamer SIGTERM | end netsync | end streamer")
}

func TestCriticalExitStartsANewGeneration(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		serve(t, s)
		died := time.Now()
		w.die("streamer", process.Exit{Signal: unix.SIGSEGV, Line: "last words"})
		expect(t, w.since(3), "end streamer", "stop runtime SIGTERM", "end runtime", "stop netsync SIGTERM", "end netsync")
		for _, m := range s.Snapshot().Members {
			if m.State != supervisor.BackingOff || m.PID != 0 || !m.StartedAt.IsZero() {
				t.Errorf("in the pause %s is %+v", m.Name, m)
			}
		}
		serve(t, s)
		expect(t, w.since(8), "start netsync | start streamer", "start runtime")
		reason := "streamer: killed by SIGSEGV: last words"
		expect(t, w.told, "serving 1", "down "+reason, "serving 2")
		now := s.Snapshot()
		if now.Generation != 2 || now.Restarts != 1 || len(now.History) != 1 ||
			now.History[0] != (supervisor.Restart{At: died, Reason: reason, Generation: 2}) {
			t.Errorf("snapshot is %+v", now)
		}
		if m := member(t, s, "streamer"); m.LastExit != "killed by SIGSEGV: last words" || m.Restarts != 1 {
			t.Errorf("streamer is %+v", m)
		}
		if m := member(t, s, "runtime"); m.LastExit != "asked to stop, exit code 0" || m.Restarts != 1 {
			t.Errorf("runtime is %+v", m)
		}
	})
}

func TestPausesGrowAndStartOver(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		w.behave("netsync", traits{exits: true})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		starts := w.starts["netsync"]
		want := limits.Backoff.Min
		for i := 1; i < len(starts); i++ {
			if pause := starts[i].Sub(starts[i-1]); pause > want || pause < want*3/4 {
				t.Errorf("pause %d is %s, want %s less at most a quarter", i, pause, want)
			}
			want = min(2*want, limits.Backoff.Max)
		}
		if len(starts) < 10 {
			t.Errorf("only %d starts", len(starts))
		}
		if now := s.Snapshot(); now.Generation != int64(len(starts)) || now.Restarts != len(starts)-1 {
			t.Errorf("after %d starts the snapshot is %+v", len(starts), now)
		}
		// Once it has served long enough, the next pause is the first again.
		w.behave("netsync", traits{})
		time.Sleep(limits.Backoff.Max + limits.Backoff.Reset + time.Second)
		serve(t, s)
		died := time.Now()
		w.die("runtime", process.Exit{Code: 2})
		serve(t, s)
		starts = w.starts["netsync"]
		if pause := starts[len(starts)-1].Sub(died); pause > limits.Backoff.Min {
			t.Errorf("the pause after a long time of service is %s", pause)
		}
	})
}

func TestShortServiceDoesNotStartPausesOver(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		for range 4 {
			serve(t, s)
			w.die("runtime", process.Exit{Code: 2})
		}
		died := time.Now()
		serve(t, s)
		starts := w.starts["netsync"]
		if pause := starts[len(starts)-1].Sub(died); pause < 600*time.Millisecond || pause > 800*time.Millisecond {
			t.Errorf("the fourth pause is %s, want 800 ms less at most a quarter", pause)
		}
	})
}

func TestFailureWhileOthersStart(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		w.behave("netsync", traits{unready: true})
		time.Sleep(time.Second)
		w.die("streamer", process.Exit{Code: 1})
		expect(t, w.since(2), "end streamer", "stop netsync SIGTERM", "end netsync")
	})
}

func TestProgramThatCannotStart(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		w.behave("runtime", traits{startErr: errors.New("exec format error")})
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if m := member(t, s, "runtime"); m.State != supervisor.BackingOff || m.LastExit != "exec format error" || m.PID != 0 {
			t.Errorf("runtime is %+v", m)
		}
		w.behave("runtime", traits{})
		serve(t, s)
		if reason := s.Snapshot().History[0].Reason; reason != "runtime: exec format error" {
			t.Errorf("reason is %q", reason)
		}
	})
}

func TestPrepareFails(t *testing.T) {
	t.Parallel()
	p := plan("1")
	failed := false
	p.Prepare = func() error {
		if !failed {
			failed = true
			return errors.New("disk full")
		}
		return nil
	}
	supervised(t, p, func(t *testing.T, w *world, s *supervisor.Supervisor) {
		serve(t, s)
		if now := s.Snapshot(); now.Generation != 2 || now.History[0].Reason != "prepare: disk full" {
			t.Errorf("snapshot is %+v", now)
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		w.behave("netsync", traits{exits: true})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		now := s.Snapshot()
		if len(now.History) != 32 || now.History[31].Generation != now.Generation+1 {
			t.Errorf("%d restarts in the history of generation %d, the last of generation %d",
				len(now.History), now.Generation, now.History[len(now.History)-1].Generation)
		}
	})
}

func TestStopDuringAPause(t *testing.T) {
	t.Parallel()
	supervised(t, plan("1"), func(t *testing.T, w *world, s *supervisor.Supervisor) {
		w.behave("netsync", traits{exits: true})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if down := w.told[len(w.told)-1]; !strings.HasPrefix(down, "down netsync: exit code 1: no luck") {
			t.Errorf("told %q", down)
		}
	})
}
