package container_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// newLabelled is newNode with SELinux.
func newLabelled(t *testing.T) *node {
	t.Helper()
	w, err := containertest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.SELinux = true
	n := &node{World: w}
	n.begin(t)
	if n.pod, err = n.Pods.Run(t.Context(), podtest.Sandbox("web"), ""); err != nil {
		t.Fatal(err)
	}
	return n
}

// held are the levels that are in use.
func (n *node) held() []string {
	return slices.DeleteFunc(n.Leftovers(), func(thing string) bool { return !strings.HasPrefix(thing, "label ") })
}

// label is the process label in the container's spec.
func (n *node) label(t *testing.T, id string) string {
	t.Helper()
	record, ok := n.World.Containers.Get(id)
	if !ok {
		t.Fatalf("container %s has no record", id)
	}
	return record.Spec.Process.SelinuxLabel
}

func TestLabels(t *testing.T) {
	t.Parallel()
	n := newLabelled(t)
	if c := n.create(t, "as-pod"); n.label(t, c.ID) != n.pod.SELinux.ProcessLabel {
		t.Errorf("label %s, the pod's is %s", n.label(t, c.ID), n.pod.SELinux.ProcessLabel)
	}
	if levels := n.held(); len(levels) != 1 {
		t.Errorf("held: %q", levels)
	}
	cfg := containertest.Config("own")
	cfg.Linux.SecurityContext.SelinuxOptions = &runtimeapi.SELinuxOption{Level: "s0:c7,c9"}
	c, err := n.Process.Containers.Create(t.Context(), n.pod, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(n.label(t, c.ID), ":s0:c7,c9") {
		t.Errorf("label %s", n.label(t, c.ID))
	}
	for _, restarted := range []bool{false, true} {
		if restarted {
			c = n.restart(t, c)
		}
		if levels := n.held(); len(levels) != 2 || !slices.Contains(levels, "label s0:c7,c9") {
			t.Errorf("held: %q", levels)
		}
	}
	for range 2 {
		if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if levels := n.held(); len(levels) != 1 || slices.Contains(levels, "label s0:c7,c9") {
			t.Errorf("after removal held: %q", levels)
		}
	}
}

// TestLabelsOfFailedCreation: whatever fails, the level is free again.
func TestLabelsOfFailedCreation(t *testing.T) {
	t.Parallel()
	n := newLabelled(t)
	cfg := containertest.Config("own")
	cfg.Linux.SecurityContext.SelinuxOptions = &runtimeapi.SELinuxOption{Type: "own_t"}
	for _, step := range []string{"Labels.Init", "Containers.Create", "Snapshots.Prepare"} {
		n.Calls()
		n.Fail(step, podtest.After, 1)
		if _, err := n.Process.Containers.Create(t.Context(), n.pod, cfg); err == nil {
			t.Errorf("%s: it is created; calls %v", step, n.Calls())
		}
		n.On(step, podtest.After, nil)
		if levels := n.held(); step != "Labels.Init" && len(levels) != 1 {
			t.Errorf("%s: held: %q", step, levels)
		}
	}
	cfg.Linux.SecurityContext.SelinuxOptions = &runtimeapi.SELinuxOption{Type: "own type"}
	_, err := n.Process.Containers.Create(t.Context(), n.pod, cfg)
	if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), `config.linux.security_context.selinux_options.type "own type"`) {
		t.Errorf("got %v", err)
	}
}
