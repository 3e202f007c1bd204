package spec

import (
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/cpuset"
)

// setResources applies the request's limits and its OOM score.
func setResources(in *Input, s *specs.Spec) error {
	r := in.Config.GetLinux().GetResources()
	if r == nil {
		return nil
	}
	if err := limit(s.Linux.Resources, r, &in.Handler, &in.Runtime, &in.Host); err != nil {
		return err
	}
	s.Process.OOMScoreAdj = OOMScoreAdj(int(r.GetOomScoreAdj()), &in.Runtime, &in.Host)
	return nil
}

// OOMScoreAdj is what a process gets that is to have adj: never less than the own one where restrict_oom_score_adj asks
// for it, or where the kernel would not let this process.
func OOMScoreAdj(adj int, runtime *config.Runtime, host *Host) *int {
	if runtime.RestrictOOMScoreAdj || host.OOMScoreFixed {
		adj = max(adj, host.OOMScoreAdj)
	}
	return &adj
}

// limit writes what the request sets over what out has; what it leaves open
// stays.
func limit(out *specs.LinuxResources, r *runtimeapi.LinuxContainerResources, handler *config.Handler, runtime *config.Runtime, host *Host) error {
	const field = "linux.resources"
	if err := CheckResources(field, r); err != nil {
		return err
	}
	if err := CheckMinMemory(field, r, *handler); err != nil {
		return err
	}
	cpu := config.CPU{Period: r.GetCpuPeriod(), Quota: r.GetCpuQuota(), Shares: r.GetCpuShares(), Set: r.GetCpusetCpus()}
	if err := limitCPU(out, field+".cpuset_cpus", cpu, host); err != nil {
		return err
	}
	if err := limitMems(out, r.GetCpusetMems(), host); err != nil {
		return err
	}
	if err := limitMemory(out, r, host); err != nil {
		return err
	}
	if err := limitHugepages(out, r.GetHugepageLimits(), runtime, host); err != nil {
		return err
	}
	return limitUnified(out, field+".unified", r.GetUnified(), host)
}

// limitCPU writes limits of processor time that have been checked; field is the
// name of the processors, for messages.
func limitCPU(out *specs.LinuxResources, field string, cpu config.CPU, host *Host) error {
	if !within(cpu.Set, host.CPUs) {
		return unable(field, cpu.Set, "is not all there: this machine has %s", host.CPUs)
	}
	if cpu == (config.CPU{}) {
		return nil
	}
	limits := cpuOf(out)
	if period := uint64(cpu.Period); period != 0 {
		limits.Period = &period
	}
	if shares := uint64(cpu.Shares); shares != 0 {
		limits.Shares = &shares
	}
	if quota := cpu.Quota; quota != 0 {
		limits.Quota = &quota
	}
	if cpu.Set != "" {
		limits.Cpus = cpu.Set
	}
	return nil
}

// cpuOf are the limits of processors in out, made if there are none yet.
func cpuOf(out *specs.LinuxResources) *specs.LinuxCPU {
	cpu := specs.LinuxCPU{}
	if out.CPU != nil {
		cpu = *out.CPU
	}
	out.CPU = &cpu
	return out.CPU
}

func limitMems(out *specs.LinuxResources, mems string, host *Host) error {
	if !within(mems, host.MemoryNodes) {
		return unable("linux.resources.cpuset_mems", mems, "is not all there: this machine has %s", host.MemoryNodes)
	}
	if mems != "" {
		cpuOf(out).Mems = mems
	}
	return nil
}

// limitMemory keeps a container with a memory limit from swapping unless the
// request gives it swap. Both numbers include memory. Where the kernel does not
// account swap, it is as if the request had said nothing about it.
func limitMemory(out *specs.LinuxResources, r *runtimeapi.LinuxContainerResources, host *Host) error {
	memory, swap := r.GetMemoryLimitInBytes(), r.GetMemorySwapLimitInBytes()
	asked := swap
	if swap == 0 {
		swap = memory
	}
	if !host.Swap {
		swap, asked = 0, 0
	}
	if memory == 0 && swap == 0 {
		return nil
	}
	limits := specs.LinuxMemory{}
	if out.Memory != nil {
		limits = *out.Memory
	}
	if memory != 0 {
		limits.Limit = &memory
	}
	if swap != 0 {
		limits.Swap = &swap
	}
	// The kernel wants a limit of both to be at least that of memory, which is
	// infinite where there is none.
	if asked > 0 && (limits.Limit == nil || *limits.Limit < 0 || asked < *limits.Limit) {
		return invalid("linux.resources.memory_swap_limit_in_bytes", asked, "is below the limit of memory, which it includes")
	}
	out.Memory = &limits
	return nil
}

func limitHugepages(out *specs.LinuxResources, limits []*runtimeapi.HugepageLimit, runtime *config.Runtime, host *Host) error {
	const field = "linux.resources.hugepage_limits"
	if len(limits) == 0 || runtime.DisableHugetlbController {
		return nil
	}
	if err := checkHugepages(field, limits); err != nil {
		return err
	}
	if len(host.HugepageSizes) == 0 {
		if runtime.TolerateMissingHugetlb {
			return nil
		}
		return unable(field, limits, "cannot be had: the hugetlb cgroup controller is missing, and tolerate_missing_hugetlb_controller is false")
	}
	merged := slices.Clone(out.HugepageLimits)
	for i, l := range limits {
		if !slices.Contains(host.HugepageSizes, l.GetPageSize()) {
			return invalid(hugepageField(field, i), l.GetPageSize(), "is none of %s", strings.Join(host.HugepageSizes, ", "))
		}
		merged = slices.DeleteFunc(merged, func(old specs.LinuxHugepageLimit) bool { return old.Pagesize == l.GetPageSize() })
		merged = append(merged, specs.LinuxHugepageLimit{Pagesize: l.GetPageSize(), Limit: l.GetLimit()})
	}
	out.HugepageLimits = merged
	return nil
}

// limitUnified passes cgroup files of version 2 on. Their names must not
// lead anywhere else.
func limitUnified(out *specs.LinuxResources, field string, unified map[string]string, host *Host) error {
	if len(unified) == 0 {
		return nil
	}
	if !host.CgroupV2 {
		return unable(field, slices.Sorted(maps.Keys(unified)), "cannot be had: this machine has cgroup version 1")
	}
	if out.Unified == nil {
		out.Unified = make(map[string]string, len(unified))
	}
	maps.Copy(out.Unified, unified)
	return nil
}

// within tells whether all of list is in have. An unknown have has all. Both
// have been parsed before.
func within(list, have string) bool {
	asked, _ := cpuset.Parse(list)
	there, _ := cpuset.Parse(have)
	return there.Empty() || asked.Within(there)
}
