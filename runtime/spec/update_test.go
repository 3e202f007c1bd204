package spec_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// old is a spec with a limit of everything.
func old() *specs.Spec {
	return &specs.Spec{
		Process: &specs.Process{OOMScoreAdj: ptr(7)},
		Linux: &specs.Linux{Resources: &specs.LinuxResources{
			Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}},
			CPU:     &specs.LinuxCPU{Shares: ptr(uint64(9)), Quota: ptr(int64(20000)), Cpus: "0"},
			Memory:  &specs.LinuxMemory{Limit: ptr(int64(8 << 20)), Swap: ptr(int64(16 << 20))},
			HugepageLimits: []specs.LinuxHugepageLimit{
				{Pagesize: "2MB", Limit: 1}, {Pagesize: "1GB", Limit: 2},
			},
			Unified: map[string]string{"memory.high": "1", "memory.low": "2"},
		}},
	}
}

func TestChange(t *testing.T) {
	t.Parallel()
	change := spec.Change{
		Resources: &runtimeapi.LinuxContainerResources{
			CpuShares: 512, MemoryLimitInBytes: 32 << 20, OomScoreAdj: 100,
			HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB", Limit: 5}},
			Unified:        map[string]string{"memory.high": "3"},
		},
		Annotations: map[string]string{"a.test/x": "1", "b.test/x": "2"},
		Handler:     config.Handler{ContainerAnnotations: []string{"a.test/*"}},
		Host:        spec.Host{Swap: true, CgroupV2: true, HugepageSizes: []string{"2MB", "1GB"}},
	}
	before := old()
	got, err := change.Apply(before)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(before, old()) {
		t.Errorf("the old spec has changed: %+v", before)
	}
	want := old()
	want.Process.OOMScoreAdj = ptr(100)
	want.Annotations = map[string]string{"a.test/x": "1"}
	r := want.Linux.Resources
	r.CPU.Shares = ptr(uint64(512))
	// A new limit of memory alone takes the swap away, as at creation.
	r.Memory = &specs.LinuxMemory{Limit: ptr(int64(32 << 20)), Swap: ptr(int64(32 << 20))}
	r.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "1GB", Limit: 2}, {Pagesize: "2MB", Limit: 5}}
	r.Unified["memory.high"] = "3"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got.Linux.Resources, r)
	}
	if passed := change.PassedOn(); !reflect.DeepEqual(passed, map[string]string{"a.test/x": "1"}) {
		t.Errorf("passed on: %v", passed)
	}
	change.Started = true
	if got, err = change.Apply(before); err != nil || *got.Process.OOMScoreAdj != 7 {
		t.Errorf("OOM score of a process that is there: %v, %v", got.Process.OOMScoreAdj, err)
	}
	// A limit of both that the new one of memory would be above.
	change.Resources = &runtimeapi.LinuxContainerResources{MemorySwapLimitInBytes: 4 << 20}
	if _, err := change.Apply(before); !errors.Is(err, wrong) || !strings.Contains(err.Error(), "memory_swap_limit_in_bytes 4194304") {
		t.Errorf("swap below the memory that is there: %v", err)
	}
	change.Resources, change.Annotations = nil, nil
	if got, err = change.Apply(before); err != nil || !reflect.DeepEqual(got, before) {
		t.Errorf("of nothing: %+v, %v", got, err)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	s := old()
	want := &runtimeapi.LinuxContainerResources{
		CpuShares: 9, CpuQuota: 20000, CpusetCpus: "0", MemoryLimitInBytes: 8 << 20, MemorySwapLimitInBytes: 16 << 20, OomScoreAdj: 7,
		HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB", Limit: 1}, {PageSize: "1GB", Limit: 2}},
		Unified:        map[string]string{"memory.high": "1", "memory.low": "2"},
	}
	if got := spec.Limits(s.Linux.Resources, s.Process.OOMScoreAdj); !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := spec.Limits(nil, nil); !proto.Equal(got, &runtimeapi.LinuxContainerResources{}) {
		t.Errorf("of nothing: %v", got)
	}
}

func TestRevert(t *testing.T) {
	t.Parallel()
	changed := old().Linux.Resources
	got := spec.Revert(&specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(5000))}}, changed)
	want := &specs.LinuxResources{
		CPU:    &specs.LinuxCPU{Quota: ptr(int64(5000)), Shares: ptr(uint64(1024))},
		Memory: &specs.LinuxMemory{Limit: ptr(int64(-1)), Swap: ptr(int64(-1))},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := spec.Revert(nil, nil); !reflect.DeepEqual(got, &specs.LinuxResources{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

// FuzzCpuset finds no list that is taken and that the kernel cannot mean.
func FuzzCpuset(f *testing.F) {
	for _, seed := range []string{"", "0", "0-3,5", "3-1", ",", "-", "0-", "١", "65535", "65536", "0x1", "1 2", "0-65535,0-65535"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		err := spec.CheckResources("r", &runtimeapi.LinuxContainerResources{CpusetCpus: list})
		if err != nil {
			if !errors.Is(err, wrong) || !strings.Contains(err.Error(), "r.cpuset_cpus") {
				t.Fatalf("%q: %v", list, err)
			}
			return
		}
		if strings.Trim(list, "0123456789,-") != "" {
			t.Fatalf("%q is taken", list)
		}
	})
}
