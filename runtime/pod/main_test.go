package pod_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.uber.org/goleak"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newService returns pods in a world of their own; it is closed in the end.
func newService(t *testing.T, w *podtest.World) *pod.Service {
	t.Helper()
	s := pod.New(w.Deps())
	t.Cleanup(s.Close)
	return s
}

// run starts a pod, or ends the test.
func run(t *testing.T, s *pod.Service, cfg *runtimeapi.PodSandboxConfig) *pod.Pod {
	t.Helper()
	p, err := s.Run(t.Context(), cfg, "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// nothing is a pod without containers.
func nothing(context.Context) error { return nil }

// empty fails the test unless the world is.
func empty(t *testing.T, w *podtest.World) {
	t.Helper()
	if left := w.Leftovers(); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// eachFailure runs test in a world of its own for each call that a success
// makes, with that call failing once, before and after its effect.
func eachFailure(t *testing.T, steps []string, test func(t *testing.T, step string, when podtest.When)) {
	t.Helper()
	if len(steps) == 0 {
		t.Fatal("no step can fail")
	}
	for _, step := range steps {
		for _, when := range []podtest.When{podtest.Before, podtest.After} {
			t.Run(fmt.Sprintf("%s %s", step, when), func(t *testing.T) {
				t.Parallel()
				test(t, step, when)
			})
		}
	}
}

// injected fails the test unless err is of the failure that was injected.
func injected(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, podtest.ErrInjected) {
		t.Fatalf("the error is %v, not the injected one", err)
	}
}
