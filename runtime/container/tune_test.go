package container_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
	"github.com/trivet-cri/trivet/runtime/tuning"
)

// newTunedNode has a pod whose containers may not sleep deeply, and share
// processor 0.
func newTunedNode(t *testing.T) *node {
	t.Helper()
	w, err := containertest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.Tuning.Config.SharedCPUSet = "0"
	w.Tuning.Config.Workloads = config.Workloads{"w": {ActivationAnnotation: "fast", AllowedAnnotations: []string{"cpu-*.crio.io"}}}
	n := &node{World: w}
	for _, cpu := range []string{"1", "2"} {
		n.setLatency(t, cpu, "0")
	}
	n.begin(t)
	sandbox := podtest.Sandbox("web")
	sandbox.Annotations = map[string]string{"fast": "", "cpu-c-states.crio.io": "disable", "cpu-shared.crio.io/app": "enable"}
	if n.pod, err = n.Pods.Run(t.Context(), sandbox, ""); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) latencyFile(cpu string) string {
	return filepath.Join(n.Tuning.Root, "sys/devices/system/cpu/cpu"+cpu, "power/pm_qos_resume_latency_us")
}

func (n *node) setLatency(t *testing.T, cpu, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(n.latencyFile(cpu)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.latencyFile(cpu), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// latencies fails the test unless the processors 1 and 2 may sleep so.
func (n *node) latencies(t *testing.T, want ...string) {
	t.Helper()
	for i, cpu := range []string{"1", "2"} {
		if got := n.read(t, cpu); got != want[i] {
			t.Errorf("latency of processor %s is %q, want %q", cpu, got, want[i])
		}
	}
}

func (n *node) read(t *testing.T, cpu string) string {
	t.Helper()
	text, err := os.ReadFile(n.latencyFile(cpu))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// pinned is an edit of a configuration: the container has processors of its own.
func pinned(cpus string) func(*runtimeapi.ContainerConfig) {
	return limited(&runtimeapi.LinuxContainerResources{CpuShares: 1024, CpuQuota: 100_000, CpuPeriod: 100_000, CpusetCpus: cpus})
}

// runsOn fails the test unless status, record and task agree on processors.
func (n *node) runsOn(t *testing.T, c *container.Container, cpus string, quota int64) {
	t.Helper()
	kept, _ := n.World.Containers.Get(c.ID)
	has := kept.Spec.Linux.Resources.CPU
	if r := c.Resources(); r.GetCpusetCpus() != cpus || r.GetCpuQuota() != quota || has.Cpus != cpus || *has.Quota != quota {
		t.Errorf("status tells %v, spec has %s and %d, want %s and %d", r, has.Cpus, *has.Quota, cpus, quota)
	}
}

func TestTunedContainer(t *testing.T) {
	t.Parallel()
	n := newTunedNode(t)
	c := n.create(t, "app", pinned("1"))
	n.runsOn(t, c, "0-1", 200_000)
	n.latencies(t, "0", "0")
	if err := n.Process.Containers.Start(t.Context(), c, n.pod); err != nil {
		t.Fatal(err)
	}
	n.latencies(t, "n/a", "0")
	n.update(t, c, &runtimeapi.LinuxContainerResources{CpusetCpus: "2"})
	n.runsOn(t, c, "0,2", 200_000)
	n.latencies(t, "0", "n/a")
	// An update that cannot be recorded leaves nothing behind.
	n.Fail("Containers.UpdateSpec", podtest.Before, 1)
	if err := n.Process.Containers.Update(t.Context(), c, &runtimeapi.LinuxContainerResources{CpusetCpus: "1"}, nil); err == nil {
		t.Error("no error")
	}
	n.runsOn(t, c, "0,2", 200_000)
	n.latencies(t, "0", "n/a")
	c = n.restart(t, c)
	n.latencies(t, "0", "n/a")
	if err := n.Process.Containers.Stop(t.Context(), c, 0); err != nil {
		t.Fatal(err)
	}
	// Once its exit is worked off.
	for n.read(t, "2") != "0" {
		if t.Context().Err() != nil || time.Since(c.State().FinishedAt) > time.Minute {
			t.Fatal("the container has ended, and its processors are not as before")
		}
		runtime.Gosched()
	}
	n.latencies(t, "0", "0")
}

// TestTunedEndFails: what cannot be restored when a container ends, the sweep
// restores.
func TestTunedEndFails(t *testing.T) {
	t.Parallel()
	n := newTunedNode(t)
	c := n.start(t, "app", pinned("1"))
	spoiled := n.latencyFile("1")
	if err := errors.Join(os.Remove(spoiled), os.Mkdir(spoiled, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := n.Process.Containers.Stop(t.Context(), c, 0); err != nil {
		t.Fatal(err)
	}
	if err := n.Process.Containers.Remove(t.Context(), c); err == nil || !strings.Contains(err.Error(), "restore processors") {
		t.Errorf("removal: %v", err)
	}
	if err := os.Remove(spoiled); err != nil {
		t.Fatal(err)
	}
	n.setLatency(t, "1", "n/a")
	if err := n.Process.Containers.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.latencies(t, "0", "0")
	if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func TestTunedStartFails(t *testing.T) {
	t.Parallel()
	eachFailure(t, []string{"Tasks.Create", "Tasks.Start"}, func(t *testing.T, step string, when podtest.When) {
		n := newTunedNode(t)
		c := n.create(t, "app", pinned("1"))
		n.Fail(step, when, 1)
		injected(t, n.Process.Containers.Start(t.Context(), c, n.pod))
		n.latencies(t, "0", "0")
	})
}

func TestUntunableContainer(t *testing.T) {
	t.Parallel()
	n := newTunedNode(t)
	c := n.create(t, "app", pinned("7")) // has no file
	if err := n.Process.Containers.Start(t.Context(), c, n.pod); err == nil || !strings.Contains(err.Error(), "tune container") {
		t.Errorf("got %v", err)
	}
	n.latencies(t, "0", "0")
	cfg := containertest.Config("app2")
	cfg.Metadata.Name = "app"
	cfg.Metadata.Attempt = 1
	cfg.Linux.Resources = &runtimeapi.LinuxContainerResources{CpuShares: 1024}
	if _, err := n.Process.Containers.Create(t.Context(), n.pod, cfg); err == nil || !strings.Contains(err.Error(), "has none of its own") {
		t.Errorf("without processors: %v", err)
	}
	n.leaves(t, "container", "snapshot", "volumes", "mark")
}

// TestTunedByTheDead: what a process has tuned that was killed before it could
// undo it is undone by the next one, unless the container runs.
func TestTunedByTheDead(t *testing.T) {
	t.Parallel()
	n := newTunedNode(t)
	runs := n.start(t, "app", pinned("1"))
	made := n.create(t, "made")
	dead := tuner(t, n)
	s := tuning.Subject{ID: made.ID, Name: "made", Pod: n.pod.Config, CPU: config.CPU{Shares: 1024, Set: "2"}}
	if err := dead.Begin(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	n.latencies(t, "n/a", "n/a")
	runs = n.restart(t, runs)
	n.latencies(t, "n/a", "0")
	// It ends while nobody looks.
	n.Tasks.Mute(true)
	n.Tasks.Exit(runs.ID, 0)
	n.Tasks.Mute(false)
	runs = n.restart(t, runs)
	n.Process.Containers.Verify(t.Context())
	if err := n.Process.Containers.Remove(t.Context(), runs); err != nil {
		t.Fatal(err)
	}
	n.latencies(t, "0", "0")
	// One that is not there at all.
	s.ID = strings.Repeat("0", 64)
	if err := tuner(t, n).Begin(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	n.restart(t, nil)
	n.latencies(t, "0", "0")
}

func tuner(t *testing.T, n *node) *tuning.Tuner {
	t.Helper()
	dead, err := tuning.New(n.Tuning)
	if err != nil {
		t.Fatal(err)
	}
	return dead
}
