package container_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// TestRecover: a restart changes nothing of a running container.
func TestRecover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		before := n.start(t, "server", func(cfg *runtimeapi.ContainerConfig) {
			cfg.Linux.SecurityContext.RunAsUser = &runtimeapi.Int64Value{Value: 1000}
		})
		n.Calls()
		c := n.restart(t, before)
		synctest.Wait()
		was, is := before.State(), c.State()
		if is.Phase != running || is.PID != was.PID || !is.StartedAt.Equal(was.StartedAt) {
			t.Errorf("state %+v, was %+v", is, was)
		}
		if c.PodID != before.PodID || c.ImageID != before.ImageID || c.ImageRef != before.ImageRef || c.LogPath != before.LogPath ||
			!c.CreatedAt.Equal(before.CreatedAt) || !proto.Equal(c.Config, before.Config) || !proto.Equal(c.Streams, before.Streams) || c.User.UID != 1000 {
			t.Errorf("container %+v, was %+v", c, before)
		}
		for _, call := range n.Calls() {
			if call != "Tasks.Get" && call != "Containers.List" && call != "Records.List" {
				t.Errorf("the restart calls %s", call)
			}
		}
		if _, err := n.Process.Containers.Create(t.Context(), n.pod, c.Config); err == nil {
			t.Error("it is created again")
		}
		n.Tasks.Exit(c.ID, 4)
		synctest.Wait()
		ended(t, c, 4, "Error")
	})
}

// TestStartBeforeSettled: a client whose start was cut short by the kill tries
// again at once, before the next process knows what has become of it.
func TestStartBeforeSettled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		c := n.create(t, "server")
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		_, opened := n.Streams.OpenIO(t.Context(), &streamerv1.OpenIORequest{Container: c.Streams})
		_, made := n.Tasks.CreateTask(t.Context(), c.ID, nil, engine.TaskIO{}, "")
		text := fmt.Sprintf(`{"begun": %q, "step": "starting"}`, time.Now().Format(time.RFC3339Nano))
		if err := errors.Join(opened, made, os.WriteFile(filepath.Join(n.MarkDir(), c.ID), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		p, err := n.Start()
		if err != nil {
			t.Fatal(err)
		}
		*n.Process = *p
		n.pod, c = n.Pods.All()[n.pod.ID], n.Process.Containers.All()[c.ID]
		if shown := c.State().Shown(); shown != created {
			t.Errorf("clients see it %s", shown)
		}
		if err := n.Process.Containers.Start(t.Context(), c, n.pod); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // of the bubble's clock: whoever else settles it has come to an end
		synctest.Wait()
		if state := c.State(); state.Phase != running || state.Shown() != running || state.PID == 0 {
			t.Errorf("state %+v", state)
		}
		if task, err := n.Tasks.GetTask(t.Context(), c.ID); err != nil || task.Created {
			t.Errorf("task %+v, %v", task, err)
		}
	})
}

// TestKilledAmidStart has the process killed at each instant of a start. The
// next one finds out what has become of the container.
func TestKilledAmidStart(t *testing.T) {
	t.Parallel()
	mark := func(step string) func(n *node, c *container.Container) error {
		return func(n *node, c *container.Container) error {
			text := fmt.Sprintf(`{"begun": %q, "step": %q}`, time.Now().Format(time.RFC3339Nano), step)
			return os.WriteFile(filepath.Join(n.MarkDir(), c.ID), []byte(text), 0o600)
		}
	}
	open := func(n *node, c *container.Container) error {
		_, err := n.Streams.OpenIO(context.Background(), &streamerv1.OpenIORequest{Container: c.Streams})
		return err
	}
	create := func(n *node, c *container.Container) error {
		_, err := n.Tasks.CreateTask(context.Background(), c.ID, nil, engine.TaskIO{}, "")
		return err
	}
	start := func(n *node, c *container.Container) error {
		_, err := n.Tasks.StartTask(context.Background(), c.ID)
		return err
	}
	exit := func(n *node, c *container.Container) error { n.Tasks.Exit(c.ID, 6); return nil }
	type act = func(*node, *container.Container) error
	for name, try := range map[string]struct {
		acts   []act
		phase  runtimeapi.ContainerState
		code   int32
		reason string
	}{
		"before the mark":                {nil, created, 0, ""},
		"after the mark":                 {[]act{mark("creating")}, created, 0, ""},
		"with streams":                   {[]act{mark("creating"), open}, created, 0, ""},
		"with a created task":            {[]act{mark("creating"), open, create}, created, 0, ""},
		"with a task that was to start":  {[]act{mark("starting"), open, create}, created, 0, ""},
		"with a task that is gone":       {[]act{mark("starting"), open}, exited, 255, "ContainerStatusUnknown"},
		"with a started task":            {[]act{mark("starting"), open, create, start}, running, 0, ""},
		"with an ended task":             {[]act{mark("starting"), open, create, start, exit}, exited, 6, "Error"},
		"with an ended task, known well": {[]act{mark("running"), open, create, start, exit}, exited, 6, "Error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t)
				c := n.create(t, "server")
				if err := n.Close(); err != nil {
					t.Fatal(err)
				}
				for _, act := range try.acts {
					if err := act(n, c); err != nil {
						t.Fatal(err)
					}
				}
				// The end of a task that recovery kills is told before it is gone.
				n.On("Tasks.Delete", podtest.Before, func(context.Context) error { time.Sleep(time.Second); return nil })
				p, err := n.Start()
				if err != nil {
					t.Fatal(err)
				}
				*n.Process = *p
				n.pod, c = n.Pods.All()[n.pod.ID], n.Process.Containers.All()[c.ID]
				time.Sleep(time.Minute) // of the bubble's clock
				synctest.Wait()
				state := c.State()
				if state.Phase != try.phase || state.ExitCode != try.code || state.Reason != try.reason {
					t.Errorf("state %+v", state)
				}
				if state.Phase == exited {
					n.leaves(t, "container", "snapshot", "volumes", "mark")
				}
				if state.Phase == running && state.PID == 0 {
					t.Error("its process is not known")
				}
				if state.Phase == created { // nothing of it ran, so it can
					if err := n.Process.Containers.Start(t.Context(), c, n.pod); err != nil || !c.Running() {
						t.Errorf("the start that follows: %v, state %+v", err, c.State())
					}
				}
				if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				n.leaves(t)
			})
		})
	}
}

// TestReboot: what ran, or had not been started, has ended with the machine.
func TestReboot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		waiting, ran, done := n.create(t, "created"), n.start(t, "running"), n.start(t, "exited")
		n.Tasks.Exit(done.ID, 2)
		synctest.Wait()
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if err := n.Reboot(); err != nil {
			t.Fatal(err)
		}
		p, err := n.Start()
		if err != nil {
			t.Fatal(err)
		}
		*n.Process = *p
		synctest.Wait()
		all := n.Process.Containers.All()
		ended(t, all[waiting.ID], 255, "ContainerStatusUnknown")
		ended(t, all[ran.ID], 255, "ContainerStatusUnknown")
		ended(t, all[done.ID], 2, "Error")
		at := all[ran.ID].State().FinishedAt
		time.Sleep(time.Minute) // of the bubble's clock
		n.restart(t, nil)
		if all = n.Process.Containers.All(); !all[ran.ID].State().FinishedAt.Equal(at) {
			t.Errorf("it ended at %s, and at %s", at, all[ran.ID].State().FinishedAt)
		}
		for _, c := range all {
			if err := n.Process.Containers.Stop(t.Context(), c, time.Second); err != nil {
				t.Error(err)
			}
			if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
				t.Error(err)
			}
		}
		n.leaves(t)
	})
}

// TestTornMark: a mark that a crash cut short still counts, with its own time.
func TestTornMark(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty": "", "half": "2026-11-2"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t)
				c := n.start(t, "server")
				path := filepath.Join(n.MarkDir(), c.ID)
				at := c.State().StartedAt.Add(time.Minute).Truncate(time.Second)
				if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, at, at)); err != nil {
					t.Fatal(err)
				}
				c = n.restart(t, c)
				if state := c.State(); state.Phase != running || !state.StartedAt.Equal(at) {
					t.Errorf("state %+v, want it started at %s", state, at)
				}
			})
		})
	}
}

func TestQuarantine(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(n *node, one *containertest.Container){
		"record": func(_ *node, one *containertest.Container) { one.Err = podtest.ErrInjected },
		"config": func(_ *node, one *containertest.Container) { one.Record.Config = []byte("\xff\xff") },
		"no pod": func(_ *node, one *containertest.Container) { one.Record.PodId = "0badcafe" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t)
				bad, good := n.start(t, "bad").ID, n.create(t, "good").ID
				one, _ := n.World.Containers.Get(bad)
				harm(n, &one)
				n.World.Containers.Put(one)
				n.restart(t, nil)
				synctest.Wait()
				if q := n.Process.Containers.Quarantine(); len(q) != 1 || q[bad] == nil || len(n.Process.Containers.All()) != 1 {
					t.Fatalf("quarantine %v, containers %v", q, n.Process.Containers.All())
				}
				if err := n.Process.Containers.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				n.leaves(t, "container", "container", "snapshot", "snapshot", "volumes", "volumes", "mark", "task", "streams")
				if found, err := n.Process.Containers.RemoveQuarantined(t.Context(), good); found || err != nil {
					t.Errorf("a good one: %v, %v", found, err)
				}
				for _, step := range []string{"Tasks.Delete", "Streams.Close", "Snapshots.Remove", "Containers.Delete"} {
					n.Fail(step, podtest.Before, 1)
					found, err := n.Process.Containers.RemoveQuarantined(t.Context(), bad)
					if !found || !errors.Is(err, podtest.ErrInjected) {
						t.Errorf("%s fails: %v, %v", step, found, err)
					}
				}
				for _, want := range []bool{true, false} {
					if found, err := n.Process.Containers.RemoveQuarantined(t.Context(), bad); found != want || err != nil {
						t.Errorf("removal: %v, %v", found, err)
					}
				}
				n.leaves(t, "container", "snapshot", "volumes")
				if len(n.Process.Containers.Quarantine()) != 0 {
					t.Error("it is still in quarantine")
				}
			})
		})
	}
}

func TestRecoverFails(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.Fail("Containers.List", podtest.Before, 1)
	injected(t, n.Process.Containers.Recover(t.Context()))
}

// TestQuarantineInPod: a pod's end is also that of its containers whose records
// cannot be read.
func TestQuarantineInPod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		bad := n.start(t, "bad").ID
		other, err := n.Pods.Run(t.Context(), podtest.Sandbox("other"), "")
		if err != nil {
			t.Fatal(err)
		}
		one, _ := n.World.Containers.Get(bad)
		one.Err = podtest.ErrInjected
		n.World.Containers.Put(one)
		n.restart(t, nil)
		stopAll, removeAll := n.Process.Containers.StopAll, n.Process.Containers.RemoveAll
		if err := errors.Join(stopAll(t.Context(), other.ID), removeAll(t.Context(), other.ID)); err != nil {
			t.Fatal(err)
		}
		n.leaves(t, "container", "snapshot", "volumes", "mark", "task", "streams")
		if err := stopAll(t.Context(), n.pod.ID); err != nil {
			t.Fatal(err)
		}
		n.leaves(t, "container", "snapshot", "volumes", "mark", "streams")
		if err := removeAll(t.Context(), n.pod.ID); err != nil {
			t.Fatal(err)
		}
		n.leaves(t)
	})
}

// TestSweep removes what is of no container, and only that.
func TestSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.start(t, "server")
		const stray = "0badcafe"
		for _, path := range []string{filepath.Join(n.VolumeDir(), stray, "0"), filepath.Join(n.VolumeDir(), "no id")} {
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{stray, "no id"} {
			if err := os.WriteFile(filepath.Join(n.MarkDir(), name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		n.Streams.Put(stray, nil)
		n.Fail("Streams.Sweep", podtest.Before, 1)
		injected(t, n.Process.Containers.Sweep(t.Context()))
		if err := n.Process.Containers.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		left := n.OfContainers()
		if len(left) != 6+2 || !slices.Contains(left, "mark no id") || !slices.Contains(left, "volumes no id") {
			t.Errorf("left over: %v, want the container's and what is nobody's", left)
		}
	})
}

// TestCloseWaits: what works off an exit ends with the process.
func TestCloseWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		c := n.start(t, "server")
		n.Hold("Streams.Close")
		n.Tasks.Exit(c.ID, 8)
		synctest.Wait()
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		n.On("Streams.Close", podtest.Before, nil)
		p, err := n.Start()
		if err != nil {
			t.Fatal(err)
		}
		*n.Process = *p
		synctest.Wait()
		ended(t, n.Process.Containers.All()[c.ID], 8, "Error")
	})
}
