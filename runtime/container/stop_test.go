package container_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/image/imagetest"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// step is the configured time between two steps of stopping.
var step = podtest.Config().StopTimeout.Std()

func TestStop(t *testing.T) {
	t.Parallel()
	for name, try := range map[string]struct {
		ignored []unix.Signal
		grace   time.Duration
		takes   time.Duration
		signals []unix.Signal
		code    int32
	}{
		"it ends by its signal":   {nil, time.Minute, 0, []unix.Signal{unix.SIGTERM}, 143},
		"it is killed":            {[]unix.Signal{unix.SIGTERM}, time.Minute, time.Minute, []unix.Signal{unix.SIGTERM, unix.SIGKILL}, 137},
		"without grace":           {nil, 0, 0, []unix.Signal{unix.SIGKILL}, 137},
		"it does not end":         {[]unix.Signal{unix.SIGTERM, unix.SIGKILL}, time.Minute, time.Minute + 2*step, []unix.Signal{unix.SIGTERM, unix.SIGKILL}, 137},
		"it does not end at once": {[]unix.Signal{unix.SIGKILL}, 0, 2 * step, []unix.Signal{unix.SIGKILL}, 137},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t)
				c := n.start(t, "server")
				n.Tasks.Ignore(try.ignored...)
				n.Hold("Tasks.Delete") // keeps the task for a look
				begun := time.Now()
				if err := n.Process.Containers.Stop(t.Context(), c, try.grace); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begun); took != try.takes {
					t.Errorf("it took %s, want %s", took, try.takes)
				}
				ended(t, c, try.code, "Error")
				if declared := strings.Contains(c.State().Message, "declared dead"); declared != slices.Contains(try.ignored, unix.SIGKILL) {
					t.Errorf("state %+v", c.State())
				}
				if task, _ := n.Tasks.Find(c.ID); !slices.Equal(task.Signals, try.signals) {
					t.Errorf("signals %v, want %v", task.Signals, try.signals)
				}
				if err := n.Process.Containers.Stop(t.Context(), c, try.grace); err != nil {
					t.Errorf("once more: %v", err)
				}
			})
		})
	}
}

// TestLeastGrace is for every stop that has a grace.
func TestLeastGrace(t *testing.T) {
	t.Parallel()
	for grace, takes := range map[time.Duration]time.Duration{0: 0, time.Second: 30 * time.Second, time.Minute: time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			n := newNode(t, func(d *container.Deps) { d.Config.CtrStopTimeout = config.Duration(30 * time.Second) })
			c := n.start(t, "server")
			n.Tasks.Ignore(unix.SIGTERM)
			begun := time.Now()
			if err := n.Process.Containers.Stop(t.Context(), c, grace); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took != takes {
				t.Errorf("with a grace of %s it took %s, want %s", grace, took, takes)
			}
		})
	}
}

// TestStopTwice: a second Stop does not repeat the signal, and each has its own
// grace.
func TestStopTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		c := n.start(t, "server")
		n.Tasks.Ignore(unix.SIGTERM)
		n.Hold("Tasks.Delete")
		var group sync.WaitGroup
		begun := time.Now()
		for _, grace := range []time.Duration{time.Hour, time.Minute} {
			group.Go(func() {
				if err := n.Process.Containers.Stop(t.Context(), c, grace); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("it took %s", took)
		}
		if task, _ := n.Tasks.Find(c.ID); !slices.Equal(task.Signals, []unix.Signal{unix.SIGTERM, unix.SIGKILL}) {
			t.Errorf("signals %v", task.Signals)
		}
	})
}

// TestSignalIsNotSent: a stop signal that containerd did not take is sent by
// the retry.
func TestSignalIsNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		c := n.start(t, "server")
		n.Fail("Tasks.Kill", podtest.Before, 1)
		injected(t, n.Process.Containers.Stop(t.Context(), c, time.Minute))
		if err := n.Process.Containers.Stop(t.Context(), c, time.Minute); err != nil {
			t.Fatal(err)
		}
		ended(t, c, 143, "Error")
	})
}

// TestShimHangs: what the shim does not do, or containerd cannot ask for, does
// not keep Stop from coming to its end.
func TestShimHangs(t *testing.T) {
	t.Parallel()
	for name, try := range map[string]struct {
		kill  func(context.Context) error
		grace time.Duration
	}{
		"no answer":            {none, 0},
		"no answer with grace": {none, time.Minute},
		"an error":             {func(context.Context) error { return podtest.ErrInjected }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t)
				c := n.start(t, "server")
				n.On("Tasks.Kill", podtest.Before, try.kill)
				n.On("Tasks.Delete", podtest.Before, try.kill)
				if err := n.Process.Containers.Stop(t.Context(), c, try.grace); err != nil {
					t.Fatal(err)
				}
				ended(t, c, 137, "Error")
			})
		})
	}
}

// TestShimIsKilled: a shim that does not answer is ended in the end, and what
// containerd then tells counts; so a container and its task always go.
func TestShimIsKilled(t *testing.T) {
	t.Parallel()
	hung := func(t *testing.T) *node {
		n := newNode(t)
		n.Tasks.MortalShims()
		n.On("Tasks.Kill", podtest.Before, none)
		n.On("Tasks.Delete", podtest.Before, none)
		return n
	}
	synctest.Test(t, func(t *testing.T) {
		n := hung(t)
		c := n.start(t, "server")
		begun := time.Now()
		if err := n.Process.Containers.Stop(t.Context(), c, 0); err != nil {
			t.Fatal(err)
		}
		// No answer to SIGKILL, and no end after it and after that of the cgroup.
		if took := time.Since(begun); took != 3*step {
			t.Errorf("it took %s, want %s", took, 3*step)
		}
		ended(t, c, 137, "Error")
		if c.State().Message != "" {
			t.Errorf("it was declared dead: %+v", c.State())
		}
		if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		n.leaves(t)
	})
	synctest.Test(t, func(t *testing.T) {
		n := hung(t)
		c := n.start(t, "server")
		n.Tasks.Exit(c.ID, 3) // by itself; then the shim hangs
		synctest.Wait()
		ended(t, c, 3, "Error")
		begun := time.Now()
		if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > 3*step {
			t.Errorf("the removal took %s", took)
		}
		n.leaves(t)
	})
}

// TestTaskIsGone: Stop finds the end that nobody has told.
func TestTaskIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		exit, lose := n.start(t, "exits"), n.start(t, "is-lost")
		n.Tasks.Mute(true)
		n.Tasks.Exit(exit.ID, 9)
		n.Tasks.Lose(lose.ID)
		begun := time.Now()
		if err := n.Process.Containers.StopAll(t.Context(), n.pod.ID); err != nil {
			t.Fatal(err)
		}
		ended(t, exit, 9, "Error")
		ended(t, lose, 255, "ContainerStatusUnknown")
		if time.Since(begun) != 0 {
			t.Errorf("it took %s", time.Since(begun))
		}
	})
}

// TestStopWithoutStreamer: the client's deadline holds, and the exit code is
// the true one, however long it cannot be recorded.
func TestStopWithoutStreamer(t *testing.T) {
	t.Parallel()
	for name, mute := range map[string]bool{"told": false, "found": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t)
				c := n.start(t, "server")
				n.Tasks.Mute(mute)
				n.On("Streams.Close", podtest.Before, func(context.Context) error { return podtest.ErrInjected })
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				n.Tasks.Exit(c.ID, 7)
				begun := time.Now()
				if err := n.Process.Containers.Stop(ctx, c, time.Second); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 5*time.Second {
					t.Errorf("after %s: %v", time.Since(begun), err)
				}
				begun = time.Now()
				if err := n.Process.Containers.Stop(t.Context(), c, 0); !errdefs.IsUnavailable(err) || time.Since(begun) > 4*step {
					t.Errorf("after %s: %v", time.Since(begun), err)
				}
				n.On("Streams.Close", podtest.Before, nil)
				time.Sleep(time.Second)
				synctest.Wait()
				ended(t, c, 7, "Error")
			})
		})
	}
}

func TestStopCreated(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.create(t, "server")
	if err := n.Process.Containers.Stop(t.Context(), c, time.Hour); err != nil {
		t.Fatal(err)
	}
	if c.State().Phase != created {
		t.Errorf("state %+v", c.State())
	}
}

// TestStopAll: one container that does not end holds up only itself, and one
// that cannot be stopped keeps no other running.
func TestStopAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		own := n.pod
		var all []string
		for _, name := range []string{"a", "b", "c", "d"} {
			all = append(all, n.start(t, name).ID)
		}
		other, err := n.Pods.Run(t.Context(), podtest.Sandbox("other"), "")
		if err != nil {
			t.Fatal(err)
		}
		n.pod = other
		stays := n.start(t, "stays")
		// The first exit to be worked off never is, within the deadline.
		var once sync.Once
		n.On("Streams.Close", podtest.Before, func(ctx context.Context) error {
			first := false
			once.Do(func() { first = true })
			if first {
				return none(ctx)
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := n.Process.Containers.StopAll(ctx, own.ID); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		alive := 0
		for _, id := range all {
			if n.Process.Containers.All()[id].Running() {
				alive++
			}
		}
		if alive != 1 || !stays.Running() {
			t.Errorf("%d containers of the pod run; the other pod's %v", alive, stays.Running())
		}
	})
}

// TestOneCannotBeRemoved: an error about one container comes at once, and the
// others are waited for all the same.
func TestOneCannotBeRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.start(t, "a")
		n.start(t, "b")
		n.Fail("Snapshots.Remove", podtest.Before, 1)
		n.On("Streams.Close", podtest.Before, func(ctx context.Context) error {
			select {
			case <-time.After(time.Second):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		injected(t, n.Process.Containers.RemoveAll(t.Context(), n.pod.ID))
		if left := n.Process.Containers.OfPod(n.pod.ID); len(left) != 1 {
			t.Errorf("%d are left", len(left))
		}
	})
}

// TestSignalsOfTheCRI: each signal that a client can name is sent, and comes
// back in the status.
func TestSignalsOfTheCRI(t *testing.T) {
	t.Parallel()
	numbers := map[runtimeapi.Signal]unix.Signal{
		runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT: unix.SIGTERM,
		runtimeapi.Signal_SIGNAL_SIGUSR1:         unix.SIGUSR1,
		runtimeapi.Signal_SIGNAL_SIGRTMIN:        34,
		runtimeapi.Signal_SIGNAL_SIGRTMINPLUS15:  49,
		runtimeapi.Signal_SIGNAL_SIGRTMAXMINUS14: 50,
		runtimeapi.Signal_SIGNAL_SIGRTMAX:        64,
		runtimeapi.Signal_SIGNAL_SIGCLD:          unix.SIGCHLD,
		runtimeapi.Signal_SIGNAL_SIGSTKFLT:       unix.SIGSTKFLT,
		runtimeapi.Signal_SIGNAL_SIGRTMAXMINUS1:  63,
		runtimeapi.Signal_SIGNAL_SIGRTMINPLUS1:   35,
	}
	n := newNode(t)
	for number, name := range runtimeapi.Signal_name {
		asked := runtimeapi.Signal(number)
		c := n.start(t, "s"+strconv.Itoa(int(number)), func(cfg *runtimeapi.ContainerConfig) { cfg.StopSignal = asked })
		want := asked
		if asked == runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT {
			want = runtimeapi.Signal_SIGNAL_SIGTERM
		}
		if got := c.StopSignal(); got != want {
			t.Errorf("%s is told as %s", name, got)
		}
		if asked == runtimeapi.Signal_SIGNAL_SIGKILL {
			continue
		}
		if err := n.Process.Containers.Stop(t.Context(), c, time.Hour); err != nil {
			t.Fatal(err)
		}
		sent := unix.Signal(c.State().ExitCode - 128)
		if want, ok := numbers[asked]; ok && sent != want || sent <= 0 || sent > 64 {
			t.Errorf("%s is sent as %d, want %d", name, sent, want)
		}
	}
}

func TestSignalsOfImages(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		number int32
		told   runtimeapi.Signal
	}{
		"":           {15, runtimeapi.Signal_SIGNAL_SIGTERM},
		"SIGUSR1":    {10, runtimeapi.Signal_SIGNAL_SIGUSR1},
		"usr1":       {10, runtimeapi.Signal_SIGNAL_SIGUSR1},
		"sigquit":    {3, runtimeapi.Signal_SIGNAL_SIGQUIT},
		"10":         {10, runtimeapi.Signal_SIGNAL_SIGUSR1},
		"34":         {34, runtimeapi.Signal_SIGNAL_SIGRTMIN},
		"37":         {37, runtimeapi.Signal_SIGNAL_SIGRTMINPLUS3},
		"SIGRTMIN+3": {37, runtimeapi.Signal_SIGNAL_SIGRTMINPLUS3},
		"rtmax-2":    {62, runtimeapi.Signal_SIGNAL_SIGRTMAXMINUS2},
		"49":         {49, runtimeapi.Signal_SIGNAL_SIGRTMINPLUS15},
		"63":         {63, runtimeapi.Signal_SIGNAL_SIGRTMAXMINUS1},
		"50":         {50, runtimeapi.Signal_SIGNAL_SIGRTMAXMINUS14},
		"64":         {64, runtimeapi.Signal_SIGNAL_SIGRTMAX},
		"0":          {}, "-9": {}, "65": {}, "999": {}, "SIGFOO": {}, " TERM": {},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			content := imagetest.NewContent("signals")
			content.Config.Config.Entrypoint = []string{"/bin/server"}
			content.Config.Config.StopSignal = text
			if err := n.AddImage("registry.test/signals:1", content); err != nil {
				t.Fatal(err)
			}
			cfg := containertest.Config("server")
			cfg.Image.Image = "registry.test/signals:1"
			c, err := n.Process.Containers.Create(t.Context(), n.pod, cfg)
			if want.number == 0 {
				if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), strconv.Quote(text)) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := n.Process.Containers.Start(t.Context(), c, n.pod); err != nil {
				t.Fatal(err)
			}
			if err := n.Process.Containers.Stop(t.Context(), c, time.Hour); err != nil {
				t.Fatal(err)
			}
			if got := c.State().ExitCode - 128; got != want.number || c.StopSignal() != want.told {
				t.Errorf("sent %d, told %s; want %+v", got, c.StopSignal(), want)
			}
		})
	}
}
