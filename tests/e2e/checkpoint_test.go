//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
)

// count is a container that counts in its log and in a file, and has deleted
// a file of its image.
const count = `rm -f /etc/group; mkdir /data; i=0; while :; do echo $i; echo $i > /data/count; i=$((i+1)); sleep 0.1; done`

// criuWorks tells whether the lab's CRIU can work on this kernel. Where it
// cannot, tests want that to be said.
var criuWorks = sync.OnceValue(func() bool { return exec.Command(filepath.Join(stage.Lab.BinDir, "criu"), "check").Run() == nil })

func checkpointed(ctx context.Context, cri *harness.CRI, container *harness.Container, location string) error {
	_, err := cri.CheckpointContainer(ctx, &runtimeapi.CheckpointContainerRequest{ContainerId: container.ID, Location: location, Timeout: 60})
	return err
}

// TestCheckpoint takes a checkpoint of a container that counts and restores it
// in another pod, from the archive: it counts on there. Where CRIU cannot
// work, the error names it and nothing is left.
func TestCheckpoint(t *testing.T) {
	ctx, group := limit(t, 2*time.Minute), ownGroup(t)
	dir := t.TempDir()
	archive := filepath.Join(dir, "counter.tar")
	pod := runPod(t, group.CRI, "checkpoint")
	container := need(pod.Run(ctx, "counter", harness.Shell(count)))(t)
	ok(t, container.AwaitLog(ctx, "5"))
	before := need(group.Residue(ctx))(t)
	err := checkpointed(ctx, group.CRI, container, archive)
	if !criuWorks() {
		says(t, err, "Unimplemented", "CRIU", "cannot work on this kernel")
		if left := need(os.ReadDir(dir))(t); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		ok(t, group.AwaitNoResidue(ctx, before))
		return
	}
	ok(t, err)
	// It goes on where it is.
	at := counted(ctx, t, container)
	ok(t, container.AwaitLog(ctx, strconv.Itoa(at+3)))
	ok(t, container.Remove(ctx))
	ok(t, group.AwaitNoResidue(ctx, before))
	if info := need(os.Stat(archive))(t); info.Mode().Perm() != 0o600 {
		t.Errorf("the archive has mode %s", info.Mode())
	}
	if left := need(os.ReadDir(dir))(t); len(left) != 1 {
		t.Errorf("beside the archive there is more: %v", left)
	}

	other := runPod(t, group.CRI, "restore")
	restored := need(other.Create(ctx, "again", harness.Image(archive), harness.OwnCommand))(t)
	if state := need(restored.Status(ctx))(t).GetState(); state != runtimeapi.ContainerState_CONTAINER_CREATED {
		t.Errorf("before its start the container is %s", state)
	}
	// Created, it outlives the runtime.
	ok(t, group.AwaitGeneration(ctx, need(group.Kill(ctx, "runtime"))(t)))
	ok(t, restored.Start(ctx))
	now := counted(ctx, t, restored)
	if now < 5 {
		t.Errorf("the restored container counts from the start: %d", now)
	}
	ok(t, restored.AwaitLog(ctx, strconv.Itoa(now+3)))
	lines := need(harness.ReadLog(restored.LogPath))(t)
	if first := need(strconv.Atoi(lines[0].Text))(t); first < 5 {
		t.Errorf("its log begins with %d", first)
	}
	if out := need(restored.Output(ctx, "ls /etc/group 2>/dev/null; hostname"))(t); out != "restore\n" {
		t.Errorf("in the restored container: %q", out)
	}
	ok(t, restored.Stop(ctx, 0))
	ok(t, restored.Remove(ctx))

	// Also from an image in a registry.
	ok(t, pushCheckpoint(ctx, stage.Lab.Registry, "docker.io/test/checkpoint", "1", archive))
	need(group.Pull(ctx, "docker.io/test/checkpoint:1"))(t)
	pulled := need(other.Run(ctx, "pulled", harness.Image("docker.io/test/checkpoint:1"), harness.OwnCommand))(t)
	ok(t, pulled.AwaitLog(ctx, strconv.Itoa(counted(ctx, t, pulled)+3)))
	if lines := need(harness.ReadLog(pulled.LogPath))(t); lines[0].Text == "0" {
		t.Error("the container of the image counts from the start")
	}
}

// counted is the number in a counter's file.
func counted(ctx context.Context, t *testing.T, container *harness.Container) int {
	t.Helper()
	out := need(container.Output(ctx, "cat /data/count"))(t)
	return need(strconv.Atoi(strings.TrimSpace(out)))(t)
}

// TestCheckpointPod takes a checkpoint of a pod with two containers and
// restores it as another pod.
func TestCheckpointPod(t *testing.T) {
	ctx, group := limit(t, 2*time.Minute), stage.Group
	dir := t.TempDir()
	pod := runPod(t, stage.CRI(), "podcheckpoint")
	request := &runtimeapi.CheckpointPodRequest{PodSandboxId: pod.ID, OutputPath: dir}
	var containers []*harness.Container
	for _, name := range []string{"one", "two"} {
		container := need(pod.Run(ctx, name, harness.Shell(count)))(t)
		ok(t, container.AwaitLog(ctx, "5"))
		containers = append(containers, container)
		request.ContainerIds = append(request.ContainerIds, container.ID)
	}
	before := need(group.Residue(ctx))(t)
	_, err := group.CheckpointPod(ctx, request)
	if !criuWorks() {
		says(t, err, "Unimplemented", "CRIU", "cannot work on this kernel")
		if left := need(os.ReadDir(dir))(t); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		return
	}
	ok(t, err)
	for _, container := range containers {
		at := counted(ctx, t, container)
		ok(t, container.AwaitLog(ctx, strconv.Itoa(at+3)))
	}
	ok(t, group.AwaitNoResidue(ctx, before))

	cfg := need(stage.CRI().PodConfig("podrestore"))(t)
	restore := &runtimeapi.RestorePodRequest{CheckpointPath: dir, Config: cfg}
	for _, name := range []string{"one", "two"} {
		c := &runtimeapi.ContainerConfig{
			Metadata: &runtimeapi.ContainerMetadata{Name: name}, Image: &runtimeapi.ImageSpec{Image: harness.Busybox},
			LogPath: filepath.Join(name, "0.log"), Linux: &runtimeapi.LinuxContainerConfig{},
		}
		harness.Shell(count)(c)
		ok(t, os.MkdirAll(filepath.Join(cfg.GetLogDirectory(), name), 0o755))
		restore.ContainerConfigs = append(restore.ContainerConfigs, c)
	}
	reply := need(group.RestorePod(ctx, restore))(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := group.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: reply.GetPodSandboxId()})
		ok(t, err)
		_, err = group.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: reply.GetPodSandboxId()})
		ok(t, err)
		ok(t, os.RemoveAll(cfg.GetLogDirectory()))
	})
	for _, one := range reply.GetRestoredContainers() {
		status := need(group.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: one.GetContainerId()}))(t)
		if state := status.GetStatus().GetState(); state != runtimeapi.ContainerState_CONTAINER_CREATED {
			t.Errorf("%s is %s", one.GetName(), state)
		}
		_, err := group.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: one.GetContainerId()})
		ok(t, err)
		log := filepath.Join(cfg.GetLogDirectory(), one.GetName(), "0.log")
		ok(t, harness.Wait(ctx, "the restored container's log", func(context.Context) error {
			lines, err := harness.ReadLog(log)
			if err != nil || len(lines) == 0 {
				return fmt.Errorf("%d lines: %w", len(lines), err)
			}
			if n := need(strconv.Atoi(lines[0].Text))(t); n < 5 {
				t.Errorf("%s counts from %d", one.GetName(), n)
			}
			return nil
		}))
	}
}

// TestCheckpointErrors: what is missing is named.
func TestCheckpointErrors(t *testing.T) {
	ctx := limit(t, 2*time.Minute)
	group := ownGroup(t, func(c *config.Config) { c.Runtime.EnableCRIU = false })
	pod := need(group.RunPod(ctx, "nocriu"))(t)
	container := need(pod.Run(ctx, "main"))(t)
	location := filepath.Join(t.TempDir(), "x.tar")
	says(t, checkpointed(ctx, group.CRI, container, location), "Unimplemented", "enable_criu is false")
	_, err := pod.Create(ctx, "restored", harness.Image(location))
	says(t, err, "Unimplemented", "enable_criu is false")

	crun := need(stage.CRI().RunPodConfig(ctx, need(stage.CRI().PodConfig("crun"))(t), "crun"))(t)
	defer func() { ok(t, crun.Remove(ctx)) }()
	without := need(crun.Create(ctx, "main"))(t) // what is missing comes first
	if criuWorks() {                             // else CRIU is what is named
		says(t, checkpointed(ctx, stage.CRI(), without, location), "Unimplemented", "crun", "is built without")
	}
	for location, want := range map[string]string{"relative.tar": "not an absolute path", "/no/such/dir/x.tar": "directory is not there", "/proc": "is there and no file"} {
		says(t, checkpointed(ctx, stage.CRI(), without, location), "InvalidArgument", want)
	}
	_, err = crun.Create(ctx, "restored", harness.Image("/no/such/archive.tar"))
	if err == nil {
		t.Error("a container was made of no archive")
	}
}
