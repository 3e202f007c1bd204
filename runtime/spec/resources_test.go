package spec_test

import (
	"reflect"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/spec"
)

func ptr[T any](v T) *T { return &v }

func TestResources(t *testing.T) {
	t.Parallel()
	type request = runtimeapi.LinuxContainerResources
	for name, test := range map[string]struct {
		request *request
		change  func(*spec.Input)
		want    *specs.LinuxResources
	}{
		"none":  {request: nil, want: &specs.LinuxResources{}},
		"empty": {request: &request{}, want: &specs.LinuxResources{}},
		"cpu": {
			request: &request{CpuPeriod: 100000, CpuQuota: 200000, CpuShares: 2, CpusetCpus: "0-1", CpusetMems: "0"},
			want: &specs.LinuxResources{CPU: &specs.LinuxCPU{
				Period: ptr(uint64(100000)), Quota: ptr(int64(200000)), Shares: ptr(uint64(2)), Cpus: "0-1", Mems: "0",
			}},
		},
		"no cpu limit": {
			request: &request{CpuQuota: -1},
			want:    &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(-1))}},
		},
		"memory without swap": {
			request: &request{MemoryLimitInBytes: 5 << 20},
			want:    &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(5 << 20)), Swap: ptr(int64(5 << 20))}},
		},
		"memory and swap": {
			request: &request{MemoryLimitInBytes: 5 << 20, MemorySwapLimitInBytes: 8 << 20},
			want:    &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(5 << 20)), Swap: ptr(int64(8 << 20))}},
		},
		"swap without limit alone": {
			request: &request{MemorySwapLimitInBytes: -1},
			want:    &specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: ptr(int64(-1))}},
		},
		"memory without limit": {
			request: &request{MemoryLimitInBytes: -1},
			want:    &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(-1)), Swap: ptr(int64(-1))}},
		},
		"memory where swap has no limit": {
			request: &request{MemoryLimitInBytes: 5 << 20, MemorySwapLimitInBytes: 8 << 20},
			change:  func(in *spec.Input) { in.Host.Swap = false },
			want:    &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(5 << 20))}},
		},
		"swap where it has no limit": {
			request: &request{MemorySwapLimitInBytes: 8 << 20},
			change:  func(in *spec.Input) { in.Host.Swap = false },
			want:    &specs.LinuxResources{},
		},
		"huge pages": {
			request: &request{HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB", Limit: 0}, {PageSize: "1GB", Limit: 1 << 30}}},
			want:    &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB"}, {Pagesize: "1GB", Limit: 1 << 30}}},
		},
		"huge pages switched off": {
			request: &request{HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "odd"}}},
			change:  func(in *spec.Input) { in.Runtime.DisableHugetlbController = true },
			want:    &specs.LinuxResources{},
		},
		"huge pages tolerated": {
			request: &request{HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB"}}},
			change:  func(in *spec.Input) { in.Host.HugepageSizes = nil },
			want:    &specs.LinuxResources{},
		},
		"unified": {
			request: &request{Unified: map[string]string{"memory.high": "1", "io.weight": "default 100"}},
			change:  func(in *spec.Input) { in.Host.CgroupV2 = true },
			want:    &specs.LinuxResources{Unified: map[string]string{"memory.high": "1", "io.weight": "default 100"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			in.Config.Linux.Resources = test.request
			if test.change != nil {
				test.change(&in)
			}
			change := spec.Change{Resources: test.request, Runtime: in.Runtime, Host: in.Host}
			updated, err := change.Apply(&specs.Spec{})
			if err != nil || !reflect.DeepEqual(updated.Linux.Resources, test.want) {
				t.Errorf("Apply: got %+v, %v, want %+v", updated, err, test.want)
			}
			test.want.Devices = []specs.LinuxDeviceCgroup{{Access: "rwm"}}
			if got := build(t, in).Linux.Resources; !reflect.DeepEqual(got, test.want) {
				t.Errorf("Build: got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestResourcesOverBase(t *testing.T) {
	t.Parallel()
	in := plain()
	in.Base = &specs.Spec{Linux: &specs.Linux{Resources: &specs.LinuxResources{
		CPU: &specs.LinuxCPU{Shares: ptr(uint64(9)), Burst: ptr(uint64(9))}, Memory: &specs.LinuxMemory{Reservation: ptr(int64(9))},
		Unified: map[string]string{"memory.low": "1", "memory.high": "2"},
	}}}
	in.Host.CgroupV2 = true
	in.Config.Linux.Resources = &runtimeapi.LinuxContainerResources{
		CpuShares: 512, MemoryLimitInBytes: 5 << 20, Unified: map[string]string{"memory.high": "3"},
	}
	want := &specs.LinuxResources{
		CPU:     &specs.LinuxCPU{Shares: ptr(uint64(512)), Burst: ptr(uint64(9))},
		Memory:  &specs.LinuxMemory{Reservation: ptr(int64(9)), Limit: ptr(int64(5 << 20)), Swap: ptr(int64(5 << 20))},
		Unified: map[string]string{"memory.low": "1", "memory.high": "3"},
	}
	if got := build(t, in).Linux.Resources; !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func TestResourcesRefused(t *testing.T) {
	t.Parallel()
	type request = runtimeapi.LinuxContainerResources
	v2 := func(in *spec.Input) { in.Host.CgroupV2 = true }
	for name, test := range map[string]struct {
		request *request
		change  func(*spec.Input)
		kind    error
		say     string
	}{
		"period":         {&request{CpuPeriod: -1}, nil, wrong, "linux.resources.cpu_period -1 is negative"},
		"shares":         {&request{CpuShares: -5}, nil, wrong, "linux.resources.cpu_shares -5 is negative"},
		"oom high":       {&request{OomScoreAdj: 1001}, nil, wrong, "linux.resources.oom_score_adj 1001"},
		"oom low":        {&request{OomScoreAdj: -1001}, nil, wrong, "linux.resources.oom_score_adj -1001"},
		"page size":      {&request{HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "3MB"}}}, nil, wrong, `hugepage_limits[0].page_size "3MB" is none of 2MB, 1GB`},
		"no hugetlb":     {&request{HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB"}}}, func(in *spec.Input) { in.Host.HugepageSizes, in.Runtime.TolerateMissingHugetlb = nil, false }, lacks, "controller is missing"},
		"period short":   {&request{CpuPeriod: 999}, nil, wrong, "linux.resources.cpu_period 999 is not between 1000 and 1000000"},
		"period long":    {&request{CpuPeriod: 1_000_001}, nil, wrong, "linux.resources.cpu_period 1000001"},
		"quota short":    {&request{CpuQuota: 999}, nil, wrong, "linux.resources.cpu_quota 999 is not between 1000"},
		"quota long":     {&request{CpuQuota: 1 << 60}, nil, wrong, "linux.resources.cpu_quota"},
		"quota negative": {&request{CpuQuota: -2}, nil, wrong, "linux.resources.cpu_quota -2 is negative"},
		"shares low":     {&request{CpuShares: 1}, nil, wrong, "linux.resources.cpu_shares 1 is not between 2 and 262144"},
		"shares high":    {&request{CpuShares: 262145}, nil, wrong, "linux.resources.cpu_shares 262145"},
		"memory low":     {&request{MemoryLimitInBytes: 4096}, nil, wrong, "linux.resources.memory_limit_in_bytes 4096 is below 512000"},
		"memory minus":   {&request{MemoryLimitInBytes: -2}, nil, wrong, "linux.resources.memory_limit_in_bytes -2 is negative"},
		"swap minus":     {&request{MemorySwapLimitInBytes: -2}, nil, wrong, "linux.resources.memory_swap_limit_in_bytes -2 is negative"},
		"swap below":     {&request{MemoryLimitInBytes: 9 << 20, MemorySwapLimitInBytes: 8 << 20}, nil, wrong, "memory_swap_limit_in_bytes 8388608 is below the limit of memory"},
		"swap alone":     {&request{MemorySwapLimitInBytes: 8 << 20}, nil, wrong, "memory_swap_limit_in_bytes 8388608 is below"},
		"cpus words":     {&request{CpusetCpus: "all"}, nil, wrong, `linux.resources.cpuset_cpus "all" is not a list`},
		"cpus backwards": {&request{CpusetCpus: "3-1"}, nil, wrong, "goes backwards"},
		"cpus comma":     {&request{CpusetCpus: "1,"}, nil, wrong, "linux.resources.cpuset_cpus"},
		"cpus too many":  {&request{CpusetCpus: "0-99999999999999999999"}, nil, wrong, "no machine has so many"},
		"cpus not there": {&request{CpusetCpus: "0,4"}, func(in *spec.Input) { in.Host.CPUs = "0-3" }, lacks, `linux.resources.cpuset_cpus "0,4" is not all there: this machine has 0-3`},
		"mems":           {&request{CpusetMems: "-1"}, nil, wrong, `linux.resources.cpuset_mems "-1"`},
		"mems not there": {&request{CpusetMems: "1"}, func(in *spec.Input) { in.Host.MemoryNodes = "0" }, lacks, "this machine has 0"},
		"page size form": {&request{HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "../2MB"}}}, func(in *spec.Input) { in.Host.HugepageSizes = nil }, wrong, `hugepage_limits[0].page_size "../2MB" is not a page size`},
		"unified proc":   {&request{Unified: map[string]string{"cgroup.procs": "1"}}, v2, wrong, "is not a limit"},
		"unified zero":   {&request{Unified: map[string]string{"memory.high": "\x00"}}, v2, wrong, "zero byte"},
		"unified on v1":  {&request{Unified: map[string]string{"memory.high": "1"}}, nil, lacks, "cgroup version 1"},
		"unified path":   {&request{Unified: map[string]string{"../memory.high": "1"}}, v2, wrong, `"../memory.high"`},
		"unified no dot": {&request{Unified: map[string]string{"memory": "1"}}, v2, wrong, `"memory"`},
		"unified empty":  {&request{Unified: map[string]string{"": "1"}}, v2, wrong, "linux.resources.unified"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			in.Config.Linux.Resources = test.request
			if test.change != nil {
				test.change(&in)
			}
			refused(t, in, test.kind, test.say)
		})
	}
}

func TestOOMScoreAdj(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		request, own int64
		restrict     bool
		want         int
	}{{-500, 0, false, -500}, {-500, 0, true, 0}, {500, 0, true, 500}, {-500, -600, true, -500}, {0, 100, true, 100}} {
		in := plain()
		in.Config.Linux.Resources.OomScoreAdj = test.request
		in.Host.OOMScoreAdj, in.Runtime.RestrictOOMScoreAdj = int(test.own), test.restrict
		if got := *build(t, in).Process.OOMScoreAdj; got != test.want {
			t.Errorf("%+v: got %d", test, got)
		}
	}
	in := plain()
	in.Config.Linux.Resources.OomScoreAdj = -500
	in.Host.OOMScoreFixed, in.Host.OOMScoreAdj = true, 0
	if got := *build(t, in).Process.OOMScoreAdj; got != 0 {
		t.Errorf("where it may only be raised: got %d", got)
	}
	in = plain()
	in.Config.Linux.Resources = nil
	if got := build(t, in).Process.OOMScoreAdj; got != nil {
		t.Errorf("without resources: got %d", *got)
	}
}
