package pod_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

func shares(n int64) *runtimeapi.LinuxContainerResources {
	return &runtimeapi.LinuxContainerResources{CpuShares: n}
}

func hasResources(t *testing.T, p *pod.Pod, overhead, resources *runtimeapi.LinuxContainerResources) {
	t.Helper()
	if r := p.State().Resources; !proto.Equal(r.Overhead, overhead) || !proto.Equal(r.Resources, resources) {
		t.Errorf("resources are %v, want overhead %v and resources %v", r, overhead, resources)
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	pods := pod.New(w.Deps())
	cfg := podtest.Sandbox("web")
	cfg.Linux.Overhead, cfg.Linux.Resources = shares(10), shares(20)
	p, err := pods.Run(t.Context(), cfg, "")
	if err != nil {
		t.Fatal(err)
	}
	hasResources(t, p, shares(10), shares(20))
	for _, when := range []podtest.When{podtest.Before} {
		w.Fail("Records.Update", when, 1)
		if err := pods.Update(t.Context(), p, pod.Resources{Resources: shares(30)}); !errors.Is(err, podtest.ErrInjected) {
			t.Errorf("got %v", err)
		}
		hasResources(t, p, shares(10), shares(20))
	}
	err = pods.Update(t.Context(), p, pod.Resources{Overhead: shares(-1)})
	if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), "overhead.cpu_shares -1") {
		t.Errorf("got %v", err)
	}
	if err := pods.Update(t.Context(), p, pod.Resources{Resources: shares(30)}); err != nil {
		t.Fatal(err)
	}
	hasResources(t, p, nil, shares(30))
	pods.Close()
	next := pod.New(w.Deps())
	defer next.Close()
	if err := next.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err = next.Get(p.ID)
	if err != nil {
		t.Fatal(err)
	}
	hasResources(t, p, nil, shares(30))
	if again, err := next.Run(t.Context(), cfg, ""); err != nil || again != p {
		t.Errorf("a retried run: %v, %v", again, err)
	}
}

func TestUpdateDamaged(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	pods := pod.New(w.Deps())
	defer pods.Close()
	p, err := pods.Run(t.Context(), podtest.Sandbox("web"), "")
	if err != nil {
		t.Fatal(err)
	}
	record, _ := w.Records.Get(p.ID)
	record.Record.Updated, record.Record.Overhead = true, []byte{0xff}
	w.Records.Put(p.ID, record)
	next := pod.New(w.Deps())
	defer next.Close()
	if err := next.Recover(t.Context()); err != nil || next.Quarantine()[p.ID] == nil {
		t.Errorf("a damaged record is not quarantined: %v", err)
	}
}

func TestRunBadResources(t *testing.T) {
	t.Parallel()
	deps := podtest.New().Deps()
	deps.Config = leastMemory(deps.Config)
	pods := pod.New(deps)
	defer pods.Close()
	for field, cfg := range map[string]*runtimeapi.LinuxPodSandboxConfig{
		"linux.overhead.cpu_shares -1":  {Overhead: shares(-1)},
		"linux.resources.cpu_shares -1": {Resources: shares(-1)},
		"linux.resources.memory_limit_in_bytes 1000000 is below the handler's container_min_memory, 1MiB": {Resources: memory(1_000_000)},
	} {
		sandbox := podtest.Sandbox("web")
		sandbox.Linux = cfg
		if _, err := pods.Run(t.Context(), sandbox, ""); !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), field) {
			t.Errorf("got %v, want %s", err, field)
		}
	}
}

func memory(limit int64) *runtimeapi.LinuxContainerResources {
	return &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: limit}
}

// leastMemory is a configuration by which pods must have one MiB.
func leastMemory(c config.Runtime) config.Runtime {
	h := c.Handlers[c.DefaultHandler]
	h.ContainerMinMemory = 1 << 20
	c.Handlers = map[string]config.Handler{c.DefaultHandler: h}
	return c
}

func TestUpdateToLittleMemory(t *testing.T) {
	t.Parallel()
	deps := podtest.New().Deps()
	deps.Config = leastMemory(deps.Config)
	pods := pod.New(deps)
	defer pods.Close()
	p, err := pods.Run(t.Context(), podtest.Sandbox("web"), "")
	if err != nil {
		t.Fatal(err)
	}
	err = pods.Update(t.Context(), p, pod.Resources{Resources: memory(1_000_000)})
	if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), "resources.memory_limit_in_bytes 1000000 is below") {
		t.Errorf("got %v", err)
	}
	if err := pods.Update(t.Context(), p, pod.Resources{Overhead: memory(1_000_000), Resources: memory(1 << 20)}); err != nil {
		t.Error(err)
	}
}
