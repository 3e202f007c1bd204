//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
)

const mib = 1 << 20

// limited is an edit: the container has limits of memory and processor.
func limited(memory, shares int64) harness.ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) {
		c.Linux.Resources = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: memory, CpuShares: shares, CpuPeriod: 100_000, CpuQuota: 50_000}
	}
}

func update(ctx context.Context, cri *harness.CRI, c *harness.Container, r *runtimeapi.LinuxContainerResources) error {
	_, err := cri.UpdateContainerResources(ctx, &runtimeapi.UpdateContainerResourcesRequest{ContainerId: c.ID, Linux: r})
	return err
}

// cgroupFile reads a file of the container's cgroup: that of version 2 if
// there is one, else of version 1.
func cgroupFile(c *harness.Container, controller, v1, v2 string) (string, error) {
	dir := filepath.Join(c.Pod.Config.GetLinux().GetCgroupParent(), c.ID)
	for _, path := range []string{filepath.Join("/sys/fs/cgroup", dir, v2), filepath.Join("/sys/fs/cgroup", controller, dir, v1)} {
		if text, err := os.ReadFile(path); err == nil {
			return strings.TrimSpace(string(text)), nil
		}
	}
	return "", fmt.Errorf("cgroup of container %s has neither %s nor %s", c.ID, v1, v2)
}

// inForce fails the test unless cgroup and status have these limits.
func inForce(t *testing.T, c *harness.Container, memory, quota int64) {
	t.Helper()
	told := need(c.Status(limit(t, time.Minute)))(t).GetResources().GetLinux()
	if told.GetMemoryLimitInBytes() != memory || told.GetCpuQuota() != quota {
		t.Errorf("status tells %v, want memory %d and quota %d", told, memory, quota)
	}
	if text := need(cgroupFile(c, "memory", "memory.limit_in_bytes", "memory.max"))(t); text != strconv.FormatInt(memory, 10) {
		t.Errorf("the cgroup's limit of memory is %s, want %d", text, memory)
	}
	text := need(cgroupFile(c, "cpu", "cpu.cfs_quota_us", "cpu.max"))(t)
	if got, _, _ := strings.Cut(text, " "); got != strconv.FormatInt(quota, 10) {
		t.Errorf("the cgroup's quota is %s, want %d", text, quota)
	}
}

// TestUpdateResources changes limits of a running and of a created container,
// by each OCI runtime, and kills the runtime after it.
func TestUpdateResources(t *testing.T) {
	group := ownGroup(t)
	ctx := limit(t, 2*time.Minute)
	var all []*harness.Container
	for _, handler := range []string{"runc", "crun"} {
		pod := need(group.RunPodConfig(ctx, need(group.PodConfig("update-"+handler))(t), handler))(t)
		runs := need(pod.Run(ctx, "runs", limited(64*mib, 512)))(t)
		inForce(t, runs, 64*mib, 50_000)
		ok(t, update(ctx, group.CRI, runs, &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 128 * mib, CpuQuota: 80_000}))
		inForce(t, runs, 128*mib, 80_000)
		// Also down again, and what is not named stays.
		ok(t, update(ctx, group.CRI, runs, &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 96 * mib}))
		inForce(t, runs, 96*mib, 80_000)
		err := update(ctx, group.CRI, runs, &runtimeapi.LinuxContainerResources{CpuQuota: 5})
		says(t, err, "linux.resources.cpu_quota 5")
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("bad quota: %v", err)
		}
		made := need(pod.Create(ctx, "made", limited(64*mib, 512)))(t)
		ok(t, update(ctx, group.CRI, made, &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 96 * mib, CpuQuota: 80_000}))
		all = append(all, runs, made)
		_, err = group.UpdatePodSandboxResources(ctx, &runtimeapi.UpdatePodSandboxResourcesRequest{
			PodSandboxId: pod.ID, Overhead: &runtimeapi.LinuxContainerResources{CpuShares: 77}, Resources: &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 200 * mib},
		})
		ok(t, err)
	}
	old := need(group.Kill(ctx, "runtime"))(t)
	ok(t, group.AwaitGeneration(limit(t, time.Minute), old))
	for _, c := range all {
		if need(c.Status(ctx))(t).GetState() == runtimeapi.ContainerState_CONTAINER_CREATED {
			ok(t, c.Start(ctx))
		}
		inForce(t, c, 96*mib, 80_000)
		reply := need(group.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: c.Pod.ID, Verbose: true}))(t)
		for _, want := range []string{`"overhead":{"linux":{"cpu_shares":77}}`, `"resources":{"linux":{"memory_limit_in_bytes":209715200}}`} {
			if !strings.Contains(reply.GetInfo()["info"], want) {
				t.Errorf("verbose status of the pod does not have %s: %s", want, reply.GetInfo()["info"])
			}
		}
	}
	ok(t, all[0].Stop(ctx, 0))
	says(t, update(ctx, group.CRI, all[0], &runtimeapi.LinuxContainerResources{CpuShares: 100}), "neither created nor running")
}

// TestHungShim stops a shim: an update ends with its deadline, reads and other
// pods' updates do not wait, and the pod still goes.
func TestHungShim(t *testing.T) {
	group := ownGroup(t, func(c *config.Config) { c.Runtime.StopTimeout = config.Duration(time.Second) })
	ctx := limit(t, 2*time.Minute)
	pod, other := need(group.RunPod(ctx, "hung"))(t), need(group.RunPod(ctx, "lively"))(t)
	hung, lively := need(pod.Run(ctx, "hung", limited(64*mib, 512)))(t), need(other.Run(ctx, "lively", limited(64*mib, 512)))(t)
	shim := need(parentOf(need(hung.PID(ctx))(t)))(t)
	ok(t, unix.Kill(shim, unix.SIGSTOP))
	t.Cleanup(func() { _ = unix.Kill(shim, unix.SIGCONT) })

	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	blocked := make(chan error, 1)
	go func() {
		blocked <- update(short, group.CRI, hung, &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 128 * mib})
	}()
	begun := time.Now()
	for calls := 0; short.Err() == nil; calls++ {
		each := time.Now()
		need(group.ListContainers(ctx, &runtimeapi.ListContainersRequest{}))(t)
		need(hung.Status(ctx))(t)
		if calls%10 == 0 {
			ok(t, update(ctx, group.CRI, lively, &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: (65 + int64(calls)%7) * mib}))
		}
		if took := time.Since(each); took > 900*time.Millisecond {
			t.Errorf("reads and another pod's update took %s", took)
		}
	}
	err := <-blocked
	if code := status.Code(err); code != codes.DeadlineExceeded {
		t.Errorf("blocked update: %v", err)
	}
	t.Logf("the blocked update ended after %s with %v", time.Since(begun).Round(time.Millisecond), err)
	if told := need(hung.Status(ctx))(t).GetResources().GetLinux().GetMemoryLimitInBytes(); told != 64*mib {
		t.Errorf("status tells a limit of %d that is not in force", told)
	}

	begun = time.Now()
	ok(t, pod.Stop(ctx))
	exit := need(hung.Status(ctx))(t)
	if exit.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED || exit.GetExitCode() != 137 {
		t.Errorf("the hung container: %v", exit)
	}
	ok(t, pod.Remove(ctx))
	t.Logf("the pod with the hung shim was gone after %s; its container's reason is %s, message %q",
		time.Since(begun).Round(time.Millisecond), exit.GetReason(), exit.GetMessage())
	ok(t, harness.WaitFor(ctx, 10*time.Second, "the shim to be gone", func(context.Context) error {
		if err := unix.Kill(shim, 0); !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("process %d is there: %w", shim, err)
		}
		return nil
	}))
}

// parentOf is the parent of a process: of a container's first, its shim.
func parentOf(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if len(fields) < 2 {
		return 0, fmt.Errorf("stat of process %d is %q", pid, text)
	}
	return strconv.Atoi(fields[1])
}
