package podcheckpoint_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
	"github.com/trivet-cri/trivet/runtime/podcheckpoint"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a world with a pod of two running containers.
type node struct {
	*containertest.World
	process *containertest.Process
	service *podcheckpoint.Service
	pod     *pod.Pod
	ids     []string
}

func newNode(t *testing.T) *node {
	t.Helper()
	w, err := containertest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	n := &node{World: w}
	if n.process, err = w.Start(); err != nil {
		t.Fatal(err)
	}
	n.service = podcheckpoint.New(podcheckpoint.Deps{
		Pods: n.process.Pods, Containers: n.process.Containers, Journal: n.process.Containers.Journal(),
		Status: func(c *container.Container) *runtimeapi.ContainerStatus {
			return &runtimeapi.ContainerStatus{Id: c.ID, Metadata: c.Config.GetMetadata(), Image: c.Config.GetImage(), ImageRef: c.ImageRef}
		},
		Limit: podtest.Config().CreateTimeout.Std(), Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(func() {
		n.service.Close()
		if err := n.process.Close(); err != nil {
			t.Errorf("end of the process: %v", err)
		}
	})
	if n.pod, err = n.process.Pods.Run(t.Context(), podtest.Sandbox("web"), ""); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		c, err := n.process.Containers.Create(t.Context(), n.pod, containertest.Config(name))
		if err == nil {
			err = n.process.Containers.Start(t.Context(), c, n.pod)
		}
		if err != nil {
			t.Fatal(err)
		}
		n.ids = append(n.ids, c.ID)
	}
	return n
}

func (n *node) request(dir string) *runtimeapi.CheckpointPodRequest {
	return &runtimeapi.CheckpointPodRequest{PodSandboxId: n.pod.ID, OutputPath: dir, ContainerIds: append([]string(nil), n.ids...)}
}

// checkpoint takes one and returns its directory.
func (n *node) checkpoint(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := n.service.Checkpoint(t.Context(), n.request(dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func isEmpty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestCheckpoint: all are frozen before the first is dumped, and thawed after
// the last was.
func TestCheckpoint(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.checkpoint(t)
	var order []string
	for _, one := range n.Checkpoints.History() {
		what, _, _ := strings.Cut(one, " ")
		order = append(order, what)
	}
	if got := strings.Join(order, " "); got != "freeze freeze dump dump thaw thaw" {
		t.Errorf("the order is %s", got)
	}
	if n.Checkpoints.Frozen() != 0 {
		t.Error("some are frozen")
	}
}

func TestCheckpointFails(t *testing.T) {
	t.Parallel()
	reference := newNode(t)
	reference.Calls()
	reference.checkpoint(t)
	for _, step := range reference.Steps() {
		for _, when := range []podtest.When{podtest.Before, podtest.After} {
			if step == "Tasks.Resume" && when == podtest.Before {
				continue // it stays frozen for a while: the test of containers has that
			}
			t.Run(step+" "+string(when), func(t *testing.T) {
				t.Parallel()
				n := newNode(t)
				n.Fail(step, when, 1)
				dir := t.TempDir()
				if err := n.service.Checkpoint(t.Context(), n.request(dir)); !errors.Is(err, podtest.ErrInjected) {
					t.Errorf("got %v", err)
				}
				isEmpty(t, dir)
				if n.Checkpoints.Frozen() != 0 {
					t.Error("some are frozen")
				}
			})
		}
	}
}

func TestCheckpointRefuses(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := n.process.Pods.Run(t.Context(), podtest.Sandbox("other"), "")
	if err != nil {
		t.Fatal(err)
	}
	made, err := n.process.Containers.Create(t.Context(), n.pod, containertest.Config("made"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit func(*runtimeapi.CheckpointPodRequest)
		kind func(error) bool
	}{
		"option":       {func(r *runtimeapi.CheckpointPodRequest) { r.Options = map[string]string{"x": "y"} }, errdefs.IsInvalidArgument},
		"no pod":       {func(r *runtimeapi.CheckpointPodRequest) { r.PodSandboxId = "abc" }, errdefs.IsNotFound},
		"no container": {func(r *runtimeapi.CheckpointPodRequest) { r.ContainerIds = nil }, errdefs.IsInvalidArgument},
		"unknown":      {func(r *runtimeapi.CheckpointPodRequest) { r.ContainerIds[0] = "abc" }, errdefs.IsNotFound},
		"twice":        {func(r *runtimeapi.CheckpointPodRequest) { r.ContainerIds[0] = r.ContainerIds[1] }, errdefs.IsInvalidArgument},
		"another pod":  {func(r *runtimeapi.CheckpointPodRequest) { r.PodSandboxId = other.ID }, errdefs.IsInvalidArgument},
		"not running":  {func(r *runtimeapi.CheckpointPodRequest) { r.ContainerIds[0] = made.ID }, errdefs.IsFailedPrecondition},
		"relative":     {func(r *runtimeapi.CheckpointPodRequest) { r.OutputPath = "x" }, errdefs.IsInvalidArgument},
		"no directory": {func(r *runtimeapi.CheckpointPodRequest) { r.OutputPath = "/no/such" }, errdefs.IsInvalidArgument},
		"a file":       {func(r *runtimeapi.CheckpointPodRequest) { r.OutputPath = filepath.Join(full, "x") }, errdefs.IsInvalidArgument},
		"not empty":    {func(r *runtimeapi.CheckpointPodRequest) { r.OutputPath = full }, errdefs.IsInvalidArgument},
	} {
		r := n.request(t.TempDir())
		c.edit(r)
		if err := n.service.Checkpoint(t.Context(), r); !c.kind(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
