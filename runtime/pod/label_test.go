package pod_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// labelled is a world with SELinux.
func labelled() *podtest.World {
	w := podtest.New()
	w.SELinux = true
	return w
}

// held are the levels that pods have.
func held(w *podtest.World) []string {
	return slices.DeleteFunc(w.Leftovers(), func(thing string) bool { return !strings.HasPrefix(thing, "label ") })
}

func TestLabels(t *testing.T) {
	t.Parallel()
	w := labelled()
	s := newService(t, w)
	first, second := run(t, s, podtest.Sandbox("first")), run(t, s, podtest.Sandbox("second"))
	if first.SELinux.ProcessLabel == second.SELinux.ProcessLabel || !strings.Contains(first.SELinux.MountLabel, "container_file_t:s0:c") {
		t.Errorf("labels %+v and %+v", first.SELinux, second.SELinux)
	}

	// Another process gives a pod that exists no level away.
	s = recovered(t, w)
	third := run(t, s, podtest.Sandbox("third"))
	for _, other := range []*pod.Pod{first, second} {
		if third.SELinux == other.SELinux {
			t.Errorf("%+v is given twice", third.SELinux)
		}
	}
	nothing := func(context.Context) error { return nil }
	for range 2 { // the second finds nothing to give back
		if err := s.Remove(t.Context(), s.All()[first.ID], nothing, nothing); err != nil {
			t.Fatal(err)
		}
		if again := run(t, s, podtest.Sandbox("again")); again.SELinux != first.SELinux {
			t.Errorf("after the removal: %+v, want %+v", again.SELinux, first.SELinux)
		}
		for _, p := range s.All() {
			if err := s.Remove(t.Context(), p, nothing, nothing); err != nil {
				t.Fatal(err)
			}
			if err := s.Remove(t.Context(), p, nothing, nothing); err != nil {
				t.Fatal(err)
			}
		}
		if left := held(w); len(left) > 0 {
			t.Errorf("held: %q", left)
		}
		first = run(t, s, podtest.Sandbox("first"))
	}
}

func TestLabelsOfRequest(t *testing.T) {
	t.Parallel()
	w := labelled()
	s := newService(t, w)
	cfg := podtest.Sandbox("web")
	cfg.Linux.SecurityContext.SelinuxOptions = &runtimeapi.SELinuxOption{Level: "s0:c7,c9"}
	if p := run(t, s, cfg); !strings.HasSuffix(p.SELinux.ProcessLabel, ":s0:c7,c9") {
		t.Errorf("labels %+v", p.SELinux)
	}
	cfg = podtest.Sandbox("bad")
	cfg.Linux.SecurityContext.SelinuxOptions = &runtimeapi.SELinuxOption{Level: "c7"}
	_, err := s.Run(t.Context(), cfg, "")
	if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), `linux.security_context.selinux_options.level "c7"`) {
		t.Errorf("got %v", err)
	}
}

// TestLabelsOfFailedStart: whatever fails, the level is free again.
func TestLabelsOfFailedStart(t *testing.T) {
	t.Parallel()
	reference := labelled()
	run(t, newService(t, reference), podtest.SharedPID("web"))
	eachFailure(t, reference.Steps(), func(t *testing.T, step string, when podtest.When) {
		w := labelled()
		s := newService(t, w)
		w.Fail(step, when, 1)
		if _, err := s.Run(t.Context(), podtest.SharedPID("web"), ""); err == nil {
			t.Fatal("it has run")
		}
		empty(t, w)
	})
}
