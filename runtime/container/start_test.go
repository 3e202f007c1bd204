package container_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

func TestStart(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	before := time.Now()
	c := n.start(t, "server", func(cfg *runtimeapi.ContainerConfig) { cfg.Stdin, cfg.StdinOnce, cfg.Tty = true, true, true })
	task, ok := n.Tasks.Find(c.ID)
	state := c.State()
	if !ok || task.Created || state.Phase != running || state.PID != task.PID || state.StartedAt.Before(before) || !c.Running() {
		t.Errorf("state %+v, task %+v", state, task)
	}
	if pinned := n.Tasks.Pinned(); !slices.Equal(pinned, []string{c.ID}) {
		t.Errorf("shims are pinned of %q", pinned)
	}
	streams, _ := n.Streams.Get(c.ID)
	if !streams.GetStdin() || !streams.GetStdinOnce() || !streams.GetTty() || streams.GetLogPath() != c.LogPath || streams.GetMaxLogLineSize() != 16<<10 || streams.GetContainer().GetId() != c.ID {
		t.Errorf("streams %v", streams)
	}
	if io := task.IO; io.Stdin == "" || io.Stdout == "" || io.Stderr != "" || !io.Terminal {
		t.Errorf("IO %+v", io)
	}
	if len(task.Rootfs) != 1 || task.Rootfs[0].Source != c.ID {
		t.Errorf("root %+v", task.Rootfs)
	}
	if err := n.Process.Containers.Start(t.Context(), c, n.pod); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "CONTAINER_RUNNING") {
		t.Errorf("started again: %v", err)
	}
	n.leaves(t, "container", "snapshot", "volumes", "mark", "task", "streams")
}

// TestStartFails: a container whose start fails has exited, nothing of its
// task and streams is left, and it stays so after a restart.
func TestStartFails(t *testing.T) {
	t.Parallel()
	eachFailure(t, []string{"Streams.Open", "Tasks.Create", "Plugins.StartContainer", "Tasks.Start"}, func(t *testing.T, step string, when podtest.When) {
		n := newNode(t)
		c := n.create(t, "server")
		n.Fail(step, when, 1)
		injected(t, n.Process.Containers.Start(t.Context(), c, n.pod))
		check := func(c *container.Container) {
			t.Helper()
			ended(t, c, 128, "StartError")
			if state := c.State(); !strings.Contains(state.Message, "injected") || state.StartedAt.IsZero() {
				t.Errorf("state %+v", state)
			}
			n.leaves(t, "container", "snapshot", "volumes", "mark")
			if err := n.Process.Containers.Start(t.Context(), c, n.pod); !errdefs.IsFailedPrecondition(err) {
				t.Errorf("started again: %v", err)
			}
		}
		check(c)
		c = n.restart(t, c)
		check(c)
		if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		n.leaves(t)
	})
}

// TestStartIsTakenBack: a start that fails because a member or containerd went
// away before its process was to start can be tried again, by this process and
// by the next; nothing is started twice, and the removal clears all.
func TestStartIsTakenBack(t *testing.T) {
	t.Parallel()
	eachFailure(t, []string{"Streams.Open", "Tasks.Create"}, func(t *testing.T, step string, when podtest.When) {
		for name, then := range map[string]func(t *testing.T, n *node, c *container.Container){
			"retried": func(t *testing.T, n *node, c *container.Container) {
				startsOnce(t, n, c)
			},
			"retried after a restart": func(t *testing.T, n *node, c *container.Container) {
				c = n.restart(t, c)
				if c.State().Phase != created {
					t.Errorf("state after a restart %+v", c.State())
				}
				startsOnce(t, n, c)
			},
			"removed": func(t *testing.T, n *node, c *container.Container) {
				if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				n.leaves(t)
			},
		} {
			// What undoes it fails as well when the member is away.
			for _, undone := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, undone %t", name, undone), func(t *testing.T) {
					t.Parallel()
					n := newNode(t)
					c := n.create(t, "server")
					n.away(step, when)
					if !undone {
						n.Fail("Streams.Close", podtest.Before, 1)
						if step == "Tasks.Create" {
							n.Fail("Tasks.Delete", podtest.Before, 1)
						}
					}
					if err := n.Process.Containers.Start(t.Context(), c, n.pod); !errdefs.IsUnavailable(err) {
						t.Fatalf("the error is %v", err)
					}
					if state := c.State(); state.Phase != created || !state.StartedAt.IsZero() {
						t.Errorf("state %+v", state)
					}
					then(t, n, c)
				})
			}
		}
	})
}

// TestEarlierStartIsInTheWay: containerd is still making the task of a start
// that was cut short. Of a first start such an error is one.
func TestEarlierStartIsInTheWay(t *testing.T) {
	t.Parallel()
	for _, resumed := range []bool{true, false} {
		t.Run(fmt.Sprintf("resumed %t", resumed), func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			c := n.create(t, "server")
			if resumed {
				n.away("Tasks.Create", podtest.Before)
				if err := n.Process.Containers.Start(t.Context(), c, n.pod); !errdefs.IsUnavailable(err) {
					t.Fatalf("the error is %v", err)
				}
			}
			var times atomic.Int32
			n.On("Tasks.Create", podtest.Before, func(context.Context) error {
				if times.Add(1) > 3 {
					return nil
				}
				return errors.New("mkdir /run/bundle: file exists")
			})
			if resumed {
				startsOnce(t, n, c)
				return
			}
			if err := n.Process.Containers.Start(t.Context(), c, n.pod); err == nil {
				t.Error("it was started")
			}
			ended(t, c, 128, "StartError")
		})
	}
}

// TestUnavailableStart: once the process was to start, nobody knows whether
// it has run, so that it is not started again.
func TestUnavailableStart(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.create(t, "server")
	n.away("Tasks.Start", podtest.Before)
	if err := n.Process.Containers.Start(t.Context(), c, n.pod); !errdefs.IsUnavailable(err) {
		t.Fatalf("the error is %v", err)
	}
	ended(t, c, 128, "StartError")
}

// away makes the next call of that name fail as one whose server went away.
func (n *node) away(call string, when podtest.When) {
	var once atomic.Bool
	n.On(call, when, func(context.Context) error {
		if once.Swap(true) {
			return nil
		}
		return fmt.Errorf("the connection is closed: %w", errdefs.ErrUnavailable)
	})
}

// startsOnce starts a container whose start was taken back, and ends it.
func startsOnce(t *testing.T, n *node, c *container.Container) {
	t.Helper()
	if err := n.Process.Containers.Start(t.Context(), c, n.pod); err != nil {
		t.Fatal(err)
	}
	if started := n.Called("Tasks.Start"); started != 1 || !c.Running() {
		t.Errorf("%d starts, state %+v", started, c.State())
	}
	n.leaves(t, "container", "snapshot", "volumes", "mark", "task", "streams")
	if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	n.leaves(t)
}

// TestStartIsNotUndone: what a failed start could not take back, the removal
// does.
func TestStartIsNotUndone(t *testing.T) {
	t.Parallel()
	for _, undo := range []string{"Tasks.Delete", "Streams.Close"} {
		t.Run(undo, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			c := n.create(t, "server")
			n.Fail("Tasks.Start", podtest.After, 1)
			n.Fail(undo, podtest.Before, 2)
			injected(t, n.Process.Containers.Start(t.Context(), c, n.pod))
			ended(t, c, 128, "StartError")
			injected(t, n.Process.Containers.Remove(t.Context(), c))
			if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			n.leaves(t)
		})
	}
}

// TestFailedStartIsNotRecorded: it is still never started twice, and recorded
// as soon as that can be.
func TestFailedStartIsNotRecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		c := n.create(t, "server")
		n.Fail("Tasks.Start", podtest.Before, 1)
		n.Fail("Containers.Update", podtest.Before, 3)
		injected(t, n.Process.Containers.Start(t.Context(), c, n.pod))
		ended(t, c, 128, "StartError")
		if err := n.Process.Containers.Start(t.Context(), c, n.pod); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("started again: %v", err)
		}
		time.Sleep(time.Minute) // of the bubble's clock
		synctest.Wait()
		c = n.restart(t, c)
		synctest.Wait()
		ended(t, c, 128, "StartError")
	})
}

// TestNoMark: without the mark a restart could not tell that it was started,
// so it is not.
func TestNoMark(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.create(t, "server")
	if err := os.RemoveAll(n.MarkDir()); err != nil {
		t.Fatal(err)
	}
	if err := n.Process.Containers.Start(t.Context(), c, n.pod); err == nil || !strings.Contains(err.Error(), "mark container") {
		t.Errorf("started: %v", err)
	}
	if c.State().Phase != created {
		t.Errorf("state %+v", c.State())
	}
	if err := os.Mkdir(n.MarkDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := n.Process.Containers.Start(t.Context(), c, n.pod); err != nil {
		t.Error(err)
	}
}

// TestExitBeforeStarted: the end of a process may be told before Start has
// returned.
func TestExitBeforeStarted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		c := n.create(t, "short")
		n.On("Tasks.Start", podtest.After, func(context.Context) error {
			n.Tasks.Exit(c.ID, 3)
			synctest.Wait() // the event has been seen
			return nil
		})
		if err := n.Process.Containers.Start(t.Context(), c, n.pod); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ended(t, c, 3, "Error")
		n.leaves(t, "container", "snapshot", "volumes", "mark")
	})
}

// TestReadersDoNotWait for an operation that hangs.
func TestReadersDoNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		c := n.create(t, "server")
		_, release := n.Hold("Tasks.Create")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := n.Process.Containers.Start(ctx, c, n.pod); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "create task") {
			t.Fatalf("the client that gave up gets %v", err)
		}
		begun := time.Now()
		if state := c.State(); state.Phase != created || c.Running() || len(n.Process.Containers.OfPod(n.pod.ID)) != 1 {
			t.Errorf("state %+v", state)
		}
		if list := n.Process.Containers.Running(); len(list) != 1 || list[0].Age != time.Minute {
			t.Errorf("running: %v", list)
		}
		if time.Since(begun) != 0 {
			t.Error("a reader waited")
		}
		var group sync.WaitGroup
		group.Go(func() {
			if err := n.Process.Containers.Start(t.Context(), c, n.pod); err != nil {
				t.Errorf("the retry gets %v", err)
			}
		})
		synctest.Wait()
		release()
		group.Wait()
		if created := n.Called("Tasks.Create"); created != 1 || !c.Running() {
			t.Errorf("%d tasks were created; state %+v", created, c.State())
		}
	})
}

// TestRemoveRacesStart: whichever is first, nothing runs in the end.
func TestRemoveRacesStart(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"Streams.Open", "Tasks.Create", "Tasks.Start"} {
		t.Run("during "+call, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t)
				c := n.create(t, "server")
				entered, release := n.Hold(call)
				var group sync.WaitGroup
				group.Go(func() {
					if err := n.Process.Containers.Start(t.Context(), c, n.pod); err != nil {
						t.Errorf("start: %v", err)
					}
				})
				<-entered
				group.Go(func() {
					if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
						t.Errorf("remove: %v", err)
					}
				})
				synctest.Wait()
				release()
				group.Wait()
				synctest.Wait()
				n.leaves(t)
			})
		})
	}
	t.Run("after the removal has begun", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			n := newNode(t)
			c := n.create(t, "server")
			n.Fail("Snapshots.Remove", podtest.Before, 1)
			injected(t, n.Process.Containers.Remove(t.Context(), c))
			if err := n.Process.Containers.Start(t.Context(), c, n.pod); !errdefs.IsFailedPrecondition(err) {
				t.Errorf("started: %v", err)
			}
			if !c.State().Removing {
				t.Errorf("state %+v", c.State())
			}
			if _, err := n.Process.Containers.Create(t.Context(), n.pod, c.Config); !errdefs.IsAlreadyExists(err) {
				t.Errorf("created again: %v", err)
			}
		})
	})
}

// TestStartAfterRestart: a container that was created by an earlier process is
// started by this one.
func TestStartAfterRestart(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.restart(t, n.create(t, "server"))
	if c.State().Phase != created {
		t.Fatalf("state %+v", c.State())
	}
	n.Fail("Snapshots.Mounts", podtest.Before, 1)
	other := n.create(t, "other")
	if err := n.Process.Containers.Start(t.Context(), other, n.pod); err != nil {
		t.Errorf("one whose mounts are known asks for them: %v", err)
	}
	injected(t, n.Process.Containers.Start(t.Context(), c, n.pod))
	n.On("Snapshots.Mounts", podtest.Before, nil)
	c = n.restart(t, n.create(t, "third"))
	if err := n.Process.Containers.Start(t.Context(), c, n.pod); err != nil {
		t.Fatal(err)
	}
	if task, _ := n.Tasks.Find(c.ID); len(task.Rootfs) != 1 || task.Rootfs[0].Source != c.ID {
		t.Errorf("root %+v", task.Rootfs)
	}
}
