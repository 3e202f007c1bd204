package container_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	created = runtimeapi.ContainerState_CONTAINER_CREATED
	running = runtimeapi.ContainerState_CONTAINER_RUNNING
	exited  = runtimeapi.ContainerState_CONTAINER_EXITED
)

// node is a world with a process in it and a pod in that.
type node struct {
	*containertest.World
	*containertest.Process
	pod *pod.Pod
}

func newNode(t *testing.T, edits ...func(*container.Deps)) *node {
	t.Helper()
	w, err := containertest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	n := &node{World: w}
	n.begin(t, edits...)
	if n.pod, err = n.Pods.Run(t.Context(), podtest.Sandbox("web"), ""); err != nil {
		t.Fatal(err)
	}
	return n
}

// begin starts a process; it is closed in the end.
func (n *node) begin(t *testing.T, edits ...func(*container.Deps)) {
	t.Helper()
	p, err := n.Start(edits...)
	if err != nil {
		t.Fatal(err)
	}
	n.Process = p
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("end of the process: %v", err)
		}
	})
}

// restart closes the process and begins the next, which finds pod and c.
func (n *node) restart(t *testing.T, c *container.Container) *container.Container {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := n.Start()
	if err != nil {
		t.Fatal(err)
	}
	old := n.Process
	*old = *p // so that the end closes the new one
	n.pod = n.Pods.All()[n.pod.ID]
	if c == nil {
		return nil
	}
	return n.Process.Containers.All()[c.ID]
}

// create makes a container of the name, with edits of its configuration.
func (n *node) create(t *testing.T, name string, edits ...func(*runtimeapi.ContainerConfig)) *container.Container {
	t.Helper()
	cfg := containertest.Config(name)
	for _, edit := range edits {
		edit(cfg)
	}
	c, err := n.Process.Containers.Create(t.Context(), n.pod, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// start makes a container and starts it.
func (n *node) start(t *testing.T, name string, edits ...func(*runtimeapi.ContainerConfig)) *container.Container {
	t.Helper()
	c := n.create(t, name, edits...)
	if err := n.Process.Containers.Start(t.Context(), c, n.pod); err != nil {
		t.Fatal(err)
	}
	return c
}

// leaves fails the test unless what exists of containers is of these kinds.
func (n *node) leaves(t *testing.T, kinds ...string) {
	t.Helper()
	var left []string
	for _, one := range n.OfContainers() {
		kind, _, _ := strings.Cut(one, " ")
		left = append(left, kind)
	}
	slices.Sort(kinds)
	if !slices.Equal(left, kinds) {
		t.Errorf("there are %q, want %q", left, kinds)
	}
}

// ended fails the test unless c has ended so.
func ended(t *testing.T, c *container.Container, code int32, reason string) {
	t.Helper()
	state := c.State()
	if state.Phase != exited || state.ExitCode != code || state.Reason != reason || state.PID != 0 || state.FinishedAt.IsZero() {
		t.Errorf("state %+v, want exit code %d and reason %s", state, code, reason)
	}
}

// eachFailure runs test for each call with that call failing once, before and
// after its effect.
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

// none is a failure of a member that does not answer: it waits for the end.
func none(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}
