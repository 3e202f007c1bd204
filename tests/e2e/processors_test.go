//go:build e2e

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
)

// processors are the options about them that a test's group has: processor 0
// is for what is not a container's own.
func processors(c *config.Config) {
	c.Runtime.InfraCtrCPUSet, c.Runtime.SharedCPUSet, c.Runtime.MinInjectedGoMaxProcs = "0", "0", 3
	c.Runtime.IRQBalanceRestoreFile = "disable"
	c.Runtime.Workloads = config.Workloads{"managed": {
		ActivationAnnotation: "test/managed", AnnotationPrefix: "test",
		Resources: config.CPU{Shares: 300, Set: "1"},
	}}
	runc := c.Runtime.Handlers["runc"]
	runc.AllowedAnnotations = []string{"cpu-*.crio.io", "irq-load-balancing.crio.io"}
	runc.ContainerMinMemory = 12 << 20
	c.Runtime.Handlers["runc"] = runc
}

// annotated is an edit: the pod has annotations, as KEY=VALUE.
func annotated(all ...string) harness.PodEdit {
	return func(c *runtimeapi.PodSandboxConfig) {
		for _, one := range all {
			key, value, _ := strings.Cut(one, "=")
			c.Annotations[key] = value
		}
	}
}

// resources is an edit: the container has these limits.
func resources(r *runtimeapi.LinuxContainerResources) harness.ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) { c.Linux.Resources = r }
}

// inCgroup fails the test unless a file of the container's cgroup says so.
func inCgroup(t *testing.T, c *harness.Container, controller, v1, v2, want string) {
	t.Helper()
	if got := need(cgroupFile(c, controller, v1, v2))(t); got != want {
		t.Errorf("%s of container %s is %q, want %q", v1, c.ID, got, want)
	}
}

// procLine is the rest of a line of a process's status.
func procLine(t *testing.T, pid int, key string) string {
	t.Helper()
	text := need(os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)))(t)
	_, after, _ := strings.Cut(string(text), "\n"+key+":")
	line, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(line)
}

// environ is a process's environment, a variable a line.
func environ(t *testing.T, pid int) string {
	t.Helper()
	return "\n" + strings.ReplaceAll(string(need(os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)))(t)), "\x00", "\n")
}

// TestWorkload: what a container has of processors and memory is the
// operator's to say.
func TestWorkload(t *testing.T) {
	group := ownGroup(t, processors)
	ctx := limit(t, 2*time.Minute)
	pod := need(group.RunPod(ctx, "managed", annotated("test/managed=", `test/own={"cpushares": 500, "cpuset": "0"}`)))(t)
	asked := &runtimeapi.LinuxContainerResources{CpuShares: 2048}
	usual, own := need(pod.Run(ctx, "usual", resources(asked)))(t), need(pod.Run(ctx, "own", resources(asked)))(t)
	for c, want := range map[*harness.Container][2]string{usual: {"300", "1"}, own: {"500", "0"}} {
		inCgroup(t, c, "cpuset", "cpuset.cpus", "cpuset.cpus", want[1])
		told := need(c.Status(ctx))(t).GetResources().GetLinux()
		if got := fmt.Sprint(told.GetCpuShares()); got != want[0] || told.GetCpusetCpus() != want[1] {
			t.Errorf("status tells %v, want %q", told, want)
		}
	}
	if text, err := cgroupFile(usual, "cpu", "cpu.shares", "cpu.weight"); err != nil || text == "2048" {
		t.Errorf("the cgroup has the shares that were asked for: %q, %v", text, err)
	}
	// The workload's processors are its shims', too.
	if got := procLine(t, need(parentOf(need(usual.PID(ctx))(t)))(t), "Cpus_allowed_list"); got != "1" {
		t.Errorf("its shim runs on %s", got)
	}
	_, err := pod.Create(ctx, "small", resources(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 11 << 20}))
	says(t, err, "is below the handler's container_min_memory, 12MiB")
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("little memory: %v", err)
	}
	err = update(ctx, group.CRI, usual, &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 11 << 20})
	says(t, err, "is below the handler's container_min_memory")
}

// TestInfraProcessors: shims and pause containers stay where they are to be,
// what they run does not, and Go programs are told how much is theirs.
func TestInfraProcessors(t *testing.T) {
	group := ownGroup(t, processors)
	ctx := limit(t, 2*time.Minute)
	pod := need(group.RunPod(ctx, "infra", func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.CgroupParent = filepath.Join(filepath.Dir(c.Linux.CgroupParent), "burstable-"+c.Metadata.Uid)
		c.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
	}))(t)
	c := need(pod.Run(ctx, "app", resources(&runtimeapi.LinuxContainerResources{CpuShares: 2048})))(t)
	pid := need(c.PID(ctx))(t)
	if got := procLine(t, need(parentOf(pid))(t), "Cpus_allowed_list"); got != "0" {
		t.Errorf("the shim runs on %s", got)
	}
	if got := procLine(t, pid, "Cpus_allowed_list"); got == "0" {
		t.Error("the container runs where its shim does")
	}
	if got := need(c.Output(ctx, "grep Cpus_allowed_list /proc/self/status"))(t); strings.HasSuffix(strings.TrimSpace(got), "\t0") {
		t.Errorf("a command in the container runs where its shim does: %s", got)
	}
	pause := need(harness.FindProcess(pod, "pause"))(t)
	if got := procLine(t, pause, "Cpus_allowed_list"); got != "0" {
		t.Errorf("the pause container runs on %s", got)
	}
	if env := environ(t, pid); !strings.Contains(env, "\nGOMAXPROCS=4\n") {
		t.Errorf("environment %q", env)
	}
	limited := need(pod.Run(ctx, "limited", limited(64*mib, 512)))(t)
	if env := environ(t, need(limited.PID(ctx))(t)); strings.Contains(env, "GOMAXPROCS") {
		t.Errorf("environment with a limit %q", env)
	}
}

// TestTunedProcessors tunes a real processor, and kills the runtime meanwhile.
func TestTunedProcessors(t *testing.T) {
	const latency, affinity = "/sys/devices/system/cpu/cpu1/power/pm_qos_resume_latency_us", "/proc/irq/default_smp_affinity"
	read := func(path string) string {
		t.Helper()
		return strings.TrimSpace(string(need(os.ReadFile(path))(t)))
	}
	before := [2]string{read(latency), read(affinity)}
	group := ownGroup(t, processors)
	ctx := limit(t, 2*time.Minute)
	pod := need(group.RunPod(ctx, "fast", annotated(
		"cpu-c-states.crio.io=max_latency:7", "irq-load-balancing.crio.io=disable", "cpu-load-balancing.crio.io=disable",
		"cpu-quota.crio.io/app=disable", "cpu-shared.crio.io/app=enable")))(t)
	c := need(pod.Run(ctx, "app", resources(&runtimeapi.LinuxContainerResources{CpuShares: 1024, CpuQuota: 100_000, CpuPeriod: 100_000, CpusetCpus: "1"})))(t)
	inCgroup(t, c, "cpuset", "cpuset.cpus", "cpuset.cpus", "0-1")
	inCgroup(t, c, "cpuset", "cpuset.sched_load_balance", "cgroup-child/cpuset.cpus.partition", map[bool]string{true: "isolated", false: "0"}[onVersion2()])
	if env := environ(t, need(c.PID(ctx))(t)); !strings.Contains(env, "\nOPENSHIFT_ISOLATED_CPUS=1\n") || !strings.Contains(env, "\nOPENSHIFT_SHARED_CPUS=0\n") {
		t.Errorf("environment %q", env)
	}
	if told := need(c.Status(ctx))(t).GetResources().GetLinux(); told.GetCpuQuota() != -1 {
		t.Errorf("status tells %v", told)
	}
	tuned := func() {
		t.Helper()
		if read(latency) != "7" || read(affinity) == before[1] {
			t.Errorf("latency is %s, interrupts go to %s", read(latency), read(affinity))
		}
	}
	tuned()
	old := need(group.Kill(ctx, "runtime"))(t)
	ok(t, group.AwaitGeneration(limit(t, time.Minute), old))
	tuned()
	ok(t, c.Stop(ctx, 0))
	ok(t, c.Remove(ctx)) // after its exit is worked off
	if after := [2]string{read(latency), read(affinity)}; after != before {
		t.Errorf("latency and interrupts are %q, and were %q", after, before)
	}
}

// onVersion2 tells whether the machine has cgroup version 2 alone.
func onVersion2() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}
