package container_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

func TestExit(t *testing.T) {
	t.Parallel()
	for name, try := range map[string]struct {
		code   uint32
		oom    bool
		reason string
	}{
		"completed":             {0, false, "Completed"},
		"error":                 {3, false, "Error"},
		"OOM":                   {137, true, "OOMKilled"},
		"OOM of a child":        {0, true, "Completed"},
		"as large as they come": {255, false, "Error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t)
				c := n.start(t, "server")
				time.Sleep(time.Hour) // of the bubble's clock
				if try.oom {
					n.Tasks.Tell(engine.TaskEvent{ContainerID: c.ID, OOM: true})
				}
				n.Tasks.Exit(c.ID, try.code)
				synctest.Wait()
				ended(t, c, int32(try.code), try.reason)
				state := c.State()
				if ran := state.FinishedAt.Sub(state.StartedAt); ran != time.Hour {
					t.Errorf("it ran for %s", ran)
				}
				n.leaves(t, "container", "snapshot", "volumes", "mark")
				// The same after a restart, also if the event comes again.
				c = n.restart(t, c)
				n.Tasks.Tell(engine.TaskEvent{ContainerID: c.ID, ExitCode: 77, ExitedAt: time.Now()})
				synctest.Wait()
				if again := c.State(); again.Phase != state.Phase || again.ExitCode != state.ExitCode || again.Reason != state.Reason ||
					!again.StartedAt.Equal(state.StartedAt) || !again.FinishedAt.Equal(state.FinishedAt) {
					t.Errorf("after a restart: %+v, was %+v", again, state)
				}
			})
		})
	}
}

// TestMembersAreAway: an exit is worked off as soon as containerd and streamer
// answer again, with its code.
func TestMembersAreAway(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"Streams.Close", "Containers.Update"} {
		for _, when := range []podtest.When{podtest.Before, podtest.After} {
			t.Run(call+" "+string(when), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					n := newNode(t)
					c := n.start(t, "server")
					n.Fail(call, when, 5)
					n.Tasks.Exit(c.ID, 42)
					synctest.Wait()
					if !c.Running() {
						t.Fatalf("it is told before it is recorded: %+v", c.State())
					}
					exit, _ := n.Tasks.Find(c.ID)
					time.Sleep(time.Minute)
					synctest.Wait()
					ended(t, c, 42, "Error")
					if !c.State().FinishedAt.Equal(exit.ExitedAt) {
						t.Errorf("finished at %s, not %s", c.State().FinishedAt, exit.ExitedAt)
					}
					n.leaves(t, "container", "snapshot", "volumes", "mark")
				})
			})
		}
	}
}

// TestTaskStays: a task that cannot be deleted holds up neither the exit nor
// the removal's second attempt.
func TestTaskStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		c := n.start(t, "server")
		n.Fail("Tasks.Delete", podtest.Before, 2)
		n.Tasks.Exit(c.ID, 0)
		synctest.Wait()
		ended(t, c, 0, "Completed")
		injected(t, n.Process.Containers.Remove(t.Context(), c))
		if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		n.leaves(t)
	})
}

// TestLostEvents: after each break of the stream of events, all that runs is
// looked at.
func TestLostEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		exit, lose, stay := n.start(t, "exits"), n.start(t, "is-lost"), n.start(t, "stays")
		n.Tasks.Mute(true)
		n.Tasks.Exit(exit.ID, 5)
		n.Tasks.Lose(lose.ID)
		synctest.Wait()
		if !exit.Running() || !lose.Running() {
			t.Fatal("the events are not lost")
		}
		n.Tasks.Mute(false)
		n.Fail("Tasks.Get", podtest.Before, 0)
		n.Tasks.Break()
		time.Sleep(time.Minute)
		synctest.Wait()
		ended(t, exit, 5, "Error")
		ended(t, lose, 255, "ContainerStatusUnknown")
		if !stay.Running() || stay.State().PID == 0 {
			t.Errorf("state %+v", stay.State())
		}
		n.Tasks.Exit(stay.ID, 0)
		synctest.Wait()
		ended(t, stay, 0, "Completed")
	})
}

// TestExitTimes: a time before the start is no time.
func TestExitTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		c := n.start(t, "server")
		n.Tasks.Tell(engine.TaskEvent{ContainerID: c.ID, ExitCode: 1})
		synctest.Wait()
		if state := c.State(); !state.FinishedAt.Equal(state.StartedAt) || state.Phase != exited {
			t.Errorf("state %+v", state)
		}
	})
}

// TestPauseExit: the end of what is no container of ours is told to the pods.
func TestPauseExit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		p, err := n.Pods.Run(t.Context(), podtest.SharedPID("shared"), "")
		if err != nil {
			t.Fatal(err)
		}
		n.Tasks.Tell(engine.TaskEvent{ContainerID: p.ID, OOM: true})
		n.Tasks.Tell(engine.TaskEvent{ContainerID: "somebody-else", ExitCode: 1})
		synctest.Wait()
		if !p.State().Ready {
			t.Fatal("not ready after an event that is no end")
		}
		n.Tasks.Tell(engine.TaskEvent{ContainerID: p.ID, ExitCode: 137})
		synctest.Wait()
		if p.State().Ready {
			t.Error("ready without its pause container")
		}
	})
}
