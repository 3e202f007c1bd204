package nri_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// TestLife: plugins hear of each step once and in order, and of an end however
// it comes.
func TestLife(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	plugin := n.connect(t, "10", "logger")
	p := n.run(t, "web")
	c := n.start(t, p, "server")
	if err := n.containers.Update(t.Context(), c, limits(8<<20), nil); err != nil {
		t.Fatal(err)
	}
	if err := n.pods.Update(t.Context(), p, pod.Resources{Resources: limits(8 << 20)}); err != nil {
		t.Fatal(err)
	}
	n.Tasks.Exit(c.ID, 0)
	await(t, "end of the container to be told", func() bool { return slices.Contains(plugin.story(), "stop server") })
	killed := n.start(t, p, "other")
	if err := n.containers.Stop(t.Context(), killed, 0); err != nil {
		t.Fatal(err)
	}
	n.create(t, p, "never") // is not started
	if err := n.containers.Remove(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	n.remove(t, p)
	story := plugin.story()
	want := []string{
		"run web", "create server", "created server", "start server", "started server", "update server", "updated server",
		"update pod web", "pod updated web", "stop server", "create other", "created other", "start other", "started other",
		"stop other", "create never", "created never", "remove server", "stop pod web",
	}
	if len(story) < len(want) || !slices.Equal(story[:len(want)], want) {
		t.Fatalf("heard  %q,\nwanted %q", story, want)
	}
	rest := slices.Sorted(slices.Values(story[len(want):])) // containers are removed at the same time
	if !slices.Equal(rest, []string{"remove never", "remove other", "remove pod web", "stop never"}) || story[len(story)-1] != "remove pod web" {
		t.Errorf("in the end: %q", story[len(want):])
	}
}

// TestRefused: what a plugin refuses fails with its words, and nothing of it
// stays, here or with other plugins.
func TestRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	other := n.connect(t, "10", "first")
	n.connect(t, "20", "judge", func(p *plugin) {
		p.hooks["run"] = func(context.Context) error { return errors.New("not on my node") }
	})
	for range 2 {
		_, err := n.pods.Run(t.Context(), podtest.Sandbox("web"), "")
		if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "not on my node") {
			t.Errorf("got %v", err)
		}
		if left := n.Leftovers(); len(left) > 0 || len(n.pods.All()) > 0 {
			t.Errorf("left over: %v", left)
		}
	}
	want := []string{"run web", "stop pod web", "remove pod web", "run web", "stop pod web", "remove pod web"}
	if story := other.story(); !slices.Equal(story, want) {
		t.Errorf("the other plugin heard %q", story)
	}
	late := n.connect(t, "30", "late")
	if len(late.pods) != 0 {
		t.Errorf("a plugin was told of %v", late.pods)
	}
}

func TestContainerRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	p := n.run(t, "web")
	judge := n.connect(t, "20", "judge", func(p *plugin) {
		p.hooks["create"] = func(context.Context) error { return errors.New("no server here") }
	})
	before := n.Leftovers()
	_, err := n.containers.Create(t.Context(), p, containertest.Config("server"))
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "no server here") {
		t.Errorf("got %v", err)
	}
	if left := n.Leftovers(); !slices.Equal(left, before) {
		t.Errorf("left over: %v", left)
	}
	judge.on("create", nil)
	judge.on("start", func(context.Context) error { return errors.New("not now") })
	c := n.create(t, p, "server")
	if err := n.containers.Start(t.Context(), c, p); err == nil || !strings.Contains(err.Error(), "not now") {
		t.Errorf("start: %v", err)
	}
	if state := c.State(); state.Reason != "StartError" || !strings.Contains(state.Message, "not now") || len(n.Tasks.IDs()) > 0 {
		t.Errorf("state %+v, tasks %v", state, n.Tasks.IDs())
	}
	want := []string{"create server", "stop server", "remove server", "create server", "created server", "start server", "stop server"}
	if story := judge.story(); !slices.Equal(story, want) {
		t.Errorf("heard %q", story)
	}
}

func require(names ...string) func(*config.NRI) {
	return func(cfg *config.NRI) { cfg.RequiredPlugins = names }
}

// TestRequiredMissing: without a required plugin nothing is created, and what
// exists can be stopped and removed.
func TestRequiredMissing(t *testing.T) {
	t.Parallel()
	n := newNode(t, require("guard"))
	refused := func() {
		t.Helper()
		n.Calls()
		_, err := n.pods.Run(t.Context(), podtest.Sandbox("web"), "")
		if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "guard") {
			t.Errorf("got %v", err)
		}
		if n.Called("Pins.Create") > 0 || !slices.Equal(n.plugins.Missing(), []string{"guard"}) {
			t.Errorf("something was made, or is not missing: %v", n.plugins.Missing())
		}
	}
	refused()
	n.connect(t, "10", "other")
	refused()
	guard := n.connect(t, "20", "guard")
	p := n.run(t, "web")
	c := n.start(t, p, "server")
	fresh := n.create(t, p, "fresh")
	guard.stub.Stop()
	n.registered(t, "10-other")
	if _, err := n.containers.Create(t.Context(), p, containertest.Config("more")); !errdefs.IsUnavailable(err) {
		t.Errorf("create: %v", err)
	}
	if err := n.containers.Start(t.Context(), fresh, p); !errdefs.IsUnavailable(err) {
		t.Errorf("start: %v", err)
	}
	if err := n.containers.Update(t.Context(), c, limits(8<<20), nil); !errdefs.IsUnavailable(err) {
		t.Errorf("update: %v", err)
	}
	n.remove(t, p)
	if left := n.Leftovers(); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	n.connect(t, "20", "guard")
	n.run(t, "web")
}

// hang does not answer before the call's end.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestRequiredHangs: a required plugin that does not answer is missing from
// then on; what it was asked about is undone.
func TestRequiredHangs(t *testing.T) {
	t.Parallel()
	for _, hook := range []string{"run", "create", "start"} {
		t.Run(hook, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, require("20-guard"))
			n.connect(t, "20", "guard", func(p *plugin) { p.hooks[hook] = hang })
			p, err := n.pods.Run(t.Context(), podtest.Sandbox("web"), "")
			if hook != "run" {
				if err != nil {
					t.Fatal(err)
				}
				c, created := n.containers.Create(t.Context(), p, containertest.Config("server"))
				if err = created; hook == "start" {
					if err != nil {
						t.Fatal(err)
					}
					err = n.containers.Start(t.Context(), c, p)
				}
			}
			if !errdefs.IsUnavailable(err) && !errdefs.IsFailedPrecondition(err) {
				t.Errorf("got %v", err)
			}
			if running := n.Tasks.IDs(); len(running) > 0 {
				t.Errorf("there are tasks: %v", running)
			}
			n.registered(t)
			if _, err := n.pods.Run(t.Context(), podtest.Sandbox("next"), ""); !errdefs.IsUnavailable(err) {
				t.Errorf("the next pod: %v", err)
			}
			n.connect(t, "20", "guard")
			n.run(t, "next")
		})
	}
}

// TestOptionalHangs: others do without a plugin that does not answer.
func TestOptionalHangs(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.connect(t, "20", "slow", func(p *plugin) { p.hooks["run"] = hang })
	p := n.run(t, "web")
	n.registered(t)
	n.create(t, p, "server")
}

// TestEndsDoNotWait: a plugin that takes its time holds up no end for longer
// than one call may take, and hears of all in the end.
func TestEndsDoNotWait(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	gate := make(chan struct{})
	slow := n.connect(t, "20", "slow", func(p *plugin) {
		p.hooks["stop"] = func(ctx context.Context) error {
			select {
			case <-gate:
			case <-time.After(requestTimeout * 3 / 4):
			}
			return nil
		}
	})
	p := n.run(t, "web")
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		n.start(t, p, name)
	}
	begun := time.Now()
	if err := n.containers.StopAll(t.Context(), p.ID); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 3*requestTimeout {
		t.Errorf("the containers ended after %s", took)
	}
	close(gate)
	n.remove(t, p)
	await(t, "all ends to be told", func() bool { return slices.Contains(slow.story(), "remove pod web") })
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		stopped, removed := slices.Index(slow.story(), "stop "+name), slices.Index(slow.story(), "remove "+name)
		if stopped < 0 || removed < stopped {
			t.Errorf("of %s the plugin heard out of order: %q", name, slow.story())
		}
	}
}

// TestOthersDoNotWait: while a plugin hangs in a hook of one pod, the ends of
// others wait for it at most as long as the hook may take, all together, and
// reads do not wait at all.
func TestOthersDoNotWait(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	p, other := n.run(t, "web"), n.run(t, "other")
	hung := n.create(t, p, "hung")
	var running []*container.Container
	for _, name := range []string{"a", "b", "c"} {
		running = append(running, n.start(t, other, name))
	}
	entered, gate := make(chan struct{}), make(chan struct{})
	n.connect(t, "20", "slow", func(p *plugin) {
		p.hooks["start"] = func(context.Context) error {
			close(entered)
			<-gate // whatever the deadline
			return nil
		}
	})
	started := make(chan error, 1)
	go func() { started <- n.containers.Start(t.Context(), hung, p) }()
	<-entered
	begun := time.Now()
	if n.pods.All()[p.ID] == nil || hung.Running() || hung.State().PID != 0 || len(n.plugins.Missing()) > 0 || len(n.plugins.Registered()) != 1 {
		t.Error("what exists is not as it was")
	}
	if took := time.Since(begun); took > requestTimeout/2 {
		t.Errorf("reads took %s", took)
	}
	for _, c := range running { // one after another
		if err := n.containers.Stop(t.Context(), c, 0); err != nil {
			t.Error(err)
		}
	}
	if err := n.pods.Stop(t.Context(), other, func(ctx context.Context) error { return n.containers.StopAll(ctx, other.ID) }); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 2*requestTimeout {
		t.Errorf("the other pod ended after %s", took)
	}
	close(gate)
	if err := <-started; err != nil {
		t.Errorf("start, without the plugin: %v", err)
	}
}
