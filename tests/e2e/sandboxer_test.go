//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
)

// sandboxShim builds a shim that makes sandboxes, once, and returns its path.
var sandboxShim = sync.OnceValues(func() (string, error) {
	root, err := harness.Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(workDir, "containerd-shim-sandbox-v1")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", "no_grpc", "-o", path, ".")
	build.Dir = filepath.Join(root, "tools/lab/parts/sandboxshim")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build sandbox shim: %w: %s", err, out)
	}
	return path, nil
})

// withHandlers is an edit that adds the handlers of these tests:
//
//	sandboxed  the shim makes the pod's sandbox
//	streaming  it also serves the streams of containers
//	incapable  it is asked to, but cannot
//	special    another snapshotter, network and base spec, annotations
func withHandlers(t *testing.T) func(*config.Config) {
	t.Helper()
	shim := need(sandboxShim())(t)
	dir := t.TempDir()
	network := map[string]any{
		"cniVersion": "1.0.0", "name": "special",
		"plugins": []any{map[string]any{"type": "ptp", "ipam": map[string]any{
			"type": "host-local", "subnet": "10.253.7.0/24", "dataDir": filepath.Join(dir, "ipam"),
		}}},
	}
	text := need(json.Marshal(network))(t)
	ok(t, os.Mkdir(filepath.Join(dir, "net.d"), 0o755))
	ok(t, os.WriteFile(filepath.Join(dir, "net.d", "10-special.conflist"), text, 0o644))
	base := need(exec.Command(filepath.Join(stage.Lab.BinDir, "ctr"), "oci", "spec").Output())(t)
	var spec map[string]any
	ok(t, json.Unmarshal(base, &spec))
	process := spec["process"].(map[string]any)
	process["rlimits"] = []any{map[string]any{"type": "RLIMIT_NOFILE", "hard": 1234, "soft": 1234}}
	spec["annotations"] = map[string]string{"base.example/from": "base"}
	basePath := filepath.Join(dir, "base.json")
	ok(t, os.WriteFile(basePath, need(json.Marshal(spec))(t), 0o644))
	return func(c *config.Config) {
		runc := c.Runtime.Handlers["runc"]
		sandboxed, incapable, special := runc, runc, runc
		sandboxed.Path, sandboxed.Sandboxer = shim, "shim"
		streaming := sandboxed
		streaming.IOType = "streaming"
		incapable.Sandboxer = "shim"
		special.Snapshotter, special.CNIConfDir, special.BaseRuntimeSpec = "native", filepath.Join(dir, "net.d"), basePath
		special.PodAnnotations, special.ContainerAnnotations = []string{"pod.example/*"}, []string{"container.example/*"}
		c.Runtime.Handlers["sandboxed"], c.Runtime.Handlers["incapable"], c.Runtime.Handlers["special"] = sandboxed, incapable, special
		c.Runtime.Handlers["streaming"] = streaming
		c.Runtime.StopTimeout = config.Duration(3 * time.Second)
	}
}

// TestHandlers runs a pod with a container for each kind of handler, and takes
// them away again.
func TestHandlers(t *testing.T) {
	group := ownGroup(t, withHandlers(t))
	for _, handler := range []string{"", "runc", "crun", "sandboxed", "streaming", "special"} {
		t.Run("handler "+handler, func(t *testing.T) {
			ctx := limit(t, time.Minute)
			before := need(group.Residue(ctx))(t)
			cfg := need(group.PodConfig("handler"+handler, func(c *runtimeapi.PodSandboxConfig) {
				c.Annotations["pod.example/x"], c.Annotations["other.example/x"] = "pod", "other"
				c.Linux.Sysctls = map[string]string{"net.ipv4.ip_forward": "1"}
			}))(t)
			pod := need(group.RunPodConfig(ctx, cfg, handler))(t)
			status := need(pod.Status(ctx))(t)
			if status.GetRuntimeHandler() != handler {
				t.Errorf("runtime handler is %q", status.GetRuntimeHandler())
			}
			if own := strings.HasPrefix(status.GetNetwork().GetIp(), "10.253.7."); own != (handler == "special") {
				t.Errorf("address is %s", status.GetNetwork().GetIp())
			}
			container := need(pod.Run(ctx, "main", func(c *runtimeapi.ContainerConfig) {
				c.Annotations = map[string]string{"container.example/x": "container", "other.example/y": "other"}
			}))(t)
			second := need(pod.Run(ctx, "second", harness.Shell("echo it runs; exit 7")))(t)
			if exited := need(second.AwaitExit(ctx))(t); exited.GetExitCode() != 7 {
				t.Errorf("exit code %d", exited.GetExitCode())
			}
			want := "handler" + handler + "\n1\n" + status.GetNetwork().GetIp()
			if out := need(container.Output(ctx, "hostname; cat /proc/sys/net/ipv4/ip_forward; ip -4 -o addr show eth0 | grep -o '10[0-9.]*' | head -1"))(t); strings.TrimSpace(out) != want {
				t.Errorf("the container says %q, want %q", out, want)
			}
			checkSpecial(t, group.CRI, container, handler == "special")
			ok(t, container.Stop(ctx, 0))
			ok(t, pod.Remove(ctx))
			ok(t, group.AwaitNoResidue(ctx, before))
		})
	}
	ctx := limit(t, time.Minute)
	before := need(group.Residue(ctx))(t)
	says(t, run1(ctx, group.CRI, "unknown", "fantasy"), "fantasy", "configured are crun, incapable, runc, sandboxed, special, streaming")
	says(t, run1(ctx, group.CRI, "incapable", "incapable"), "io.containerd.runc.v2", `sandboxer = "shim"`)
	ok(t, group.AwaitNoResidue(ctx, before))
}

// checkSpecial looks for what only the special handler gives.
func checkSpecial(t *testing.T, cri *harness.CRI, container *harness.Container, special bool) {
	t.Helper()
	ctx := limit(t, time.Minute)
	root := need(container.Output(ctx, "grep ' / ' /proc/mounts | head -1; ulimit -n"))(t)
	if overlay := strings.HasPrefix(root, "overlay "); overlay == special || strings.Contains(root, "1234") != special {
		t.Errorf("root and limit are %q", root)
	}
	status := need(cri.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: container.ID, Verbose: true}))(t)
	var info struct {
		RuntimeSpec struct{ Annotations map[string]string }
	}
	ok(t, json.Unmarshal([]byte(status.GetInfo()["info"]), &info))
	for _, annotation := range []string{"pod.example/x", "container.example/x", "base.example/from", "other.example/x", "other.example/y"} {
		want := special && !strings.HasPrefix(annotation, "other")
		if _, has := info.RuntimeSpec.Annotations[annotation]; has != want {
			t.Errorf("annotation %s is in the spec: %v, want %v", annotation, has, want)
		}
	}
}

// TestSandboxOfShim: the sandbox's process holds the PID namespace, all
// containers are in one shim, a restart finds everything, and the end of the
// sandbox is the pod's.
func TestSandboxOfShim(t *testing.T) {
	group := ownGroup(t, withHandlers(t))
	ctx := limit(t, 2*time.Minute)
	before := need(group.Residue(ctx))(t)
	shared := &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_POD}
	cfg := need(group.PodConfig("machine", func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions = shared
	}))(t)
	pod := need(group.RunPodConfig(ctx, cfg, "sandboxed"))(t)
	share := func(c *runtimeapi.ContainerConfig) {
		c.Linux.SecurityContext = &runtimeapi.LinuxContainerSecurityContext{NamespaceOptions: shared}
	}
	first := need(pod.Run(ctx, "first", share))(t)
	second := need(pod.Run(ctx, "second", share))(t)
	if one := need(second.Output(ctx, "tr '\\0' ' ' < /proc/1/cmdline"))(t); one != "sleep infinity " {
		t.Errorf("process 1 of the pod is %q", one)
	}
	shims := shimsOf(t, group, pod.ID)
	if len(shims) != 1 || len(shimsOf(t, group, first.ID)) > 0 {
		t.Fatalf("shims of the pod: %v", shims)
	}

	generation := need(group.Kill(ctx, "runtime"))(t)
	ok(t, group.AwaitGeneration(ctx, generation))
	third := need(awaitRun(ctx, pod, "third", share))(t)
	if out := need(third.Output(ctx, "echo it runs"))(t); out != "it runs\n" {
		t.Errorf("after a restart: %q", out)
	}

	machine := childOf(t, shims[0], "sleep")
	ok(t, unix.Kill(machine, unix.SIGKILL))
	ok(t, awaitNotReady(ctx, pod))
	_, err := pod.Create(ctx, "late", share)
	says(t, err, "not ready")
	ok(t, pod.Remove(ctx))
	ok(t, group.AwaitNoResidue(ctx, before))
}

// TestSandboxShimFails: pods whose shim is dead or hangs are stopped and
// removed in bounded time, and the pod of a dead one is not ready.
func TestSandboxShimFails(t *testing.T) {
	group := ownGroup(t, withHandlers(t))
	for name, signal := range map[string]unix.Signal{"dead": unix.SIGKILL, "hung": unix.SIGSTOP} {
		ctx := limit(t, 2*time.Minute)
		before := need(group.Residue(ctx))(t)
		pod := need(group.RunPodConfig(ctx, need(group.PodConfig(name))(t), "sandboxed"))(t)
		container := need(pod.Run(ctx, "main"))(t)
		shim := shimsOf(t, group, pod.ID)[0]
		ok(t, unix.Kill(shim, signal))
		if signal == unix.SIGKILL {
			ok(t, awaitNotReady(ctx, pod))
			need(container.AwaitExit(ctx))(t)
		}
		begun := time.Now()
		ok(t, pod.Remove(ctx))
		if took := time.Since(begun); took > 30*time.Second {
			t.Errorf("%s: removed after %s", name, took)
		}
		ok(t, group.AwaitNoResidue(ctx, before))
	}
}

// TestSandboxSwept: a kill at the start of a sandbox leaves a shim that nobody
// has recorded; the next generation ends it.
func TestSandboxSwept(t *testing.T) {
	group := ownGroup(t, withHandlers(t))
	ctx := limit(t, 2*time.Minute)
	before := need(group.Residue(ctx))(t)
	cfg := need(group.PodConfig("cut"))(t)
	done := make(chan error, 1)
	go func() {
		_, err := group.RunPodConfig(ctx, cfg, "sandboxed")
		done <- err
	}()
	ok(t, harness.Wait(ctx, "a shim", func(context.Context) error {
		if len(shimsOf(t, group, "")) == 0 {
			return errors.New("none yet")
		}
		return nil
	}))
	generation := need(group.Kill(ctx, "runtime"))(t)
	ok(t, group.AwaitGeneration(ctx, generation))
	t.Logf("the start that was cut short: %v", <-done) // no error if it was quick
	ok(t, group.Purge(ctx))
	ok(t, os.RemoveAll(cfg.GetLogDirectory()))
	ok(t, harness.RemoveCgroup(cfg.GetLinux().GetCgroupParent()))
	ok(t, group.AwaitNoResidue(ctx, before))
}

// shimsOf are the processes of shims in the group's namespace with an id, or
// with any.
func shimsOf(t *testing.T, group *harness.Group, id string) (pids []int) {
	t.Helper()
	lines := need(filepath.Glob("/proc/[0-9]*/cmdline"))(t)
	for _, line := range lines {
		text, err := os.ReadFile(line)
		if err != nil {
			continue
		}
		args := strings.ReplaceAll(string(text), "\x00", " ")
		if strings.Contains(args, "-shim-") && strings.Contains(args, "-namespace "+group.Config.Containerd.Namespace+" -id "+id) {
			var pid int
			if _, err := fmt.Sscanf(line, "/proc/%d/", &pid); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// childOf is the child of a process that runs a program.
func childOf(t *testing.T, parent int, program string) int {
	t.Helper()
	for _, line := range need(filepath.Glob("/proc/[0-9]*/stat"))(t) {
		text, err := os.ReadFile(line)
		if err != nil {
			continue
		}
		var pid, of int
		var name, state string
		if _, err := fmt.Sscanf(string(text), "%d %s %s %d", &pid, &name, &state, &of); err == nil && of == parent && name == "("+program+")" {
			return pid
		}
	}
	t.Fatalf("process %d has no child %s", parent, program)
	return 0
}

func awaitNotReady(ctx context.Context, pod *harness.Pod) error {
	return harness.Wait(ctx, "the pod to be not ready", func(ctx context.Context) error {
		status, err := pod.Status(ctx)
		if err == nil && status.GetState() == runtimeapi.PodSandboxState_SANDBOX_READY {
			err = errors.New("it is ready")
		}
		return err
	})
}

// awaitRun runs a container as soon as the pod's sandbox is found again.
func awaitRun(ctx context.Context, pod *harness.Pod, name string, edit harness.ContainerEdit) (c *harness.Container, err error) {
	return c, harness.Wait(ctx, "a container to run", func(ctx context.Context) error {
		c, err = pod.Run(ctx, name, edit)
		return err
	})
}
