package podcheckpoint_test

import (
	"context"
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

func restore(dir, name string) *runtimeapi.RestorePodRequest {
	return &runtimeapi.RestorePodRequest{
		CheckpointPath: dir, Config: podtest.Sandbox(name),
		ContainerConfigs: []*runtimeapi.ContainerConfig{containertest.Config("one"), containertest.Config("two")},
	}
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

// TestRestore: the containers are created and not started, and a retry gets
// the same ones.
func TestRestore(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	dir := n.checkpoint(t)
	reply, err := n.service.Restore(t.Context(), restore(dir, "again"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := n.process.Pods.Get(reply.GetPodSandboxId())
	if err != nil || len(reply.GetRestoredContainers()) != 2 {
		t.Fatalf("got %v, %v", reply, err)
	}
	for i, one := range reply.GetRestoredContainers() {
		c, err := n.process.Containers.Get(one.GetContainerId())
		if err != nil || one.GetName() != c.Config.GetMetadata().GetName() || c.State().Phase != runtimeapi.ContainerState_CONTAINER_CREATED {
			t.Fatalf("container %v: %v", one, err)
		}
		if err := n.process.Containers.Start(t.Context(), c, p); err != nil {
			t.Fatal(err)
		}
		if got := n.Checkpoints.Applied(c.ID).Files["changed"]; got != n.ids[i] {
			t.Errorf("%s has the file system of %q", one.GetName(), got)
		}
	}
	if _, err := n.service.Restore(t.Context(), restore(dir, "again")); !errdefs.IsAlreadyExists(err) {
		t.Errorf("once more, after the start: %v", err)
	}
	if n.process.Pods.All()[p.ID] == nil || len(n.process.Containers.OfPod(p.ID)) != 2 {
		t.Error("the retry has taken what was there")
	}
	first, err := n.service.Restore(t.Context(), restore(dir, "third"))
	if err != nil {
		t.Fatal(err)
	}
	if same, err := n.service.Restore(t.Context(), restore(dir, "third")); err != nil || same.GetPodSandboxId() != first.GetPodSandboxId() {
		t.Errorf("a retry gives %v, %v", same, err)
	}
}

func TestRestoreFails(t *testing.T) {
	t.Parallel()
	reference := newNode(t)
	dir := reference.checkpoint(t)
	reference.Calls()
	if _, err := reference.service.Restore(t.Context(), restore(dir, "again")); err != nil {
		t.Fatal(err)
	}
	for _, step := range reference.Steps() {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			before := n.Leftovers()
			n.Fail(step, podtest.After, 1)
			if _, err := n.service.Restore(t.Context(), restore(dir, "again")); !errors.Is(err, podtest.ErrInjected) {
				t.Errorf("got %v", err)
			}
			if after := n.Leftovers(); strings.Join(after, "\n") != strings.Join(before, "\n") {
				t.Errorf("there is %q, and was %q", after, before)
			}
		})
	}
	t.Run("second container", func(t *testing.T) {
		t.Parallel()
		n := newNode(t)
		before := n.Leftovers()
		calls := 0
		n.On("Containers.Create", podtest.Before, func(context.Context) error {
			if calls++; calls == 2 {
				return podtest.ErrInjected
			}
			return nil
		})
		if _, err := n.service.Restore(t.Context(), restore(dir, "again")); !errors.Is(err, podtest.ErrInjected) {
			t.Errorf("got %v", err)
		}
		if after := n.Leftovers(); strings.Join(after, "\n") != strings.Join(before, "\n") {
			t.Errorf("there is %q, and was %q", after, before)
		}
	})
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	dir := n.checkpoint(t)
	before := n.Leftovers()
	for name, c := range map[string]struct {
		edit func(*runtimeapi.RestorePodRequest)
		says string
	}{
		"option":      {func(r *runtimeapi.RestorePodRequest) { r.Options = map[string]string{"x": "y"} }, "options"},
		"relative":    {func(r *runtimeapi.RestorePodRequest) { r.CheckpointPath = "x" }, "checkpoint_path"},
		"nothing":     {func(r *runtimeapi.RestorePodRequest) { r.CheckpointPath = "/no/such" }, "not found"},
		"no config":   {func(r *runtimeapi.RestorePodRequest) { r.Config = nil }, "config.metadata"},
		"handler":     {func(r *runtimeapi.RestorePodRequest) { r.RuntimeHandler = "none" }, "runtime_handler"},
		"containers":  {func(r *runtimeapi.RestorePodRequest) { r.ContainerConfigs = nil }, "container_configs is empty"},
		"one missing": {func(r *runtimeapi.RestorePodRequest) { r.ContainerConfigs = r.ContainerConfigs[:1] }, "lacks \"two\""},
		"another":     {func(r *runtimeapi.RestorePodRequest) { r.ContainerConfigs[1].Metadata.Name = "x" }, "not in the checkpoint"},
		"twice":       {func(r *runtimeapi.RestorePodRequest) { r.ContainerConfigs[1].Metadata.Name = "one" }, "twice"},
		"no name":     {func(r *runtimeapi.RestorePodRequest) { r.ContainerConfigs[1].Metadata.Name = "" }, "name is empty"},
		"command":     {func(r *runtimeapi.RestorePodRequest) { r.ContainerConfigs[1].Command = []string{"/bin/other"} }, "command and args"},
		"directory":   {func(r *runtimeapi.RestorePodRequest) { r.ContainerConfigs[1].WorkingDir = "/tmp" }, "working_dir"},
		"user": {func(r *runtimeapi.RestorePodRequest) {
			r.ContainerConfigs[1].Linux.SecurityContext.RunAsUser = &runtimeapi.Int64Value{Value: 7}
		}, "the user is 7"},
		"environment": {func(r *runtimeapi.RestorePodRequest) {
			r.ContainerConfigs[1].Envs = []*runtimeapi.KeyValue{{Key: "A", Value: []byte("secret")}}
		}, "envs are not"},
	} {
		r := restore(dir, "again")
		c.edit(r)
		_, err := n.service.Restore(t.Context(), r)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %q", name, err, c.says)
		}
		if after := n.Leftovers(); strings.Join(after, "\n") != strings.Join(before, "\n") {
			t.Errorf("%s: there is %q, and was %q", name, after, before)
		}
	}
}
