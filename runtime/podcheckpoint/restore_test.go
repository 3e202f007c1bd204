package podcheckpoint_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

func restore(dir, name string) *runtimeapi.RestorePodRequest {
	return &runtimeapi.RestorePodRequest{
		CheckpointPath: dir, Config: podtest.Sandbox(name),
		ContainerConfigs: []*runtimeapi.ContainerConfig{containertest.Config("one"), containertest.Config("two")},
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

// TestRestoreOnOtherProcessors: what the environment tells of them may be new.
func TestRestoreOnOtherProcessors(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	r := restore(n.checkpoint(t), "again")
	r.ContainerConfigs[1].Envs = []*runtimeapi.KeyValue{
		{Key: "GOMAXPROCS", Value: []byte("2")}, {Key: "OPENSHIFT_ISOLATED_CPUS", Value: []byte("1")},
	}
	if _, err := n.service.Restore(t.Context(), r); err != nil {
		t.Error(err)
	}
}
