package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
)

// setResources applies the request's limits and its OOM score.
func setResources(in *Input, s *specs.Spec) error {
	r := in.Config.GetLinux().GetResources()
	if r == nil {
		return nil
	}
	if err := limit(s.Linux.Resources, r, &in.Runtime, &in.Host); err != nil {
		return err
	}
	adj := r.GetOomScoreAdj()
	if adj < -1000 || adj > 1000 {
		return invalid("linux.resources.oom_score_adj", adj, "is not between -1000 and 1000")
	}
	s.Process.OOMScoreAdj = oomScoreAdj(int(adj), &in.Runtime, &in.Host)
	return nil
}

// oomScoreAdj never goes below the own one where restrict_oom_score_adj asks
// for it, as a process without privileges could not.
func oomScoreAdj(adj int, runtime *config.Runtime, host *Host) *int {
	if runtime.RestrictOOMScoreAdj {
		adj = max(adj, host.OOMScoreAdj)
	}
	return &adj
}

// Resources translates the limits of a request by the same rules as Build,
// for the update of a running container. What the request leaves open is not
// in the result.
func Resources(r *runtimeapi.LinuxContainerResources, runtime config.Runtime, host Host) (*specs.LinuxResources, error) {
	out := &specs.LinuxResources{}
	return out, limit(out, r, &runtime, &host)
}

// limit writes what the request sets over what out has.
func limit(out *specs.LinuxResources, r *runtimeapi.LinuxContainerResources, runtime *config.Runtime, host *Host) error {
	if err := limitCPU(out, r); err != nil {
		return err
	}
	limitMemory(out, r, host)
	if err := limitHugepages(out, r.GetHugepageLimits(), runtime, host); err != nil {
		return err
	}
	return limitUnified(out, r.GetUnified(), host)
}

func limitCPU(out *specs.LinuxResources, r *runtimeapi.LinuxContainerResources) error {
	for _, v := range []struct {
		field string
		value int64
	}{{"cpu_period", r.GetCpuPeriod()}, {"cpu_shares", r.GetCpuShares()}} {
		if v.value < 0 {
			return invalid("linux.resources."+v.field, v.value, "is negative")
		}
	}
	cpu := specs.LinuxCPU{}
	if out.CPU != nil {
		cpu = *out.CPU
	}
	if period := uint64(r.GetCpuPeriod()); period != 0 {
		cpu.Period = &period
	}
	if shares := uint64(r.GetCpuShares()); shares != 0 {
		cpu.Shares = &shares
	}
	if quota := r.GetCpuQuota(); quota != 0 {
		cpu.Quota = &quota
	}
	if cpus := r.GetCpusetCpus(); cpus != "" {
		cpu.Cpus = cpus
	}
	if mems := r.GetCpusetMems(); mems != "" {
		cpu.Mems = mems
	}
	if cpu != (specs.LinuxCPU{}) {
		out.CPU = &cpu
	}
	return nil
}

// limitMemory keeps a container with a memory limit from swapping unless the
// request gives it swap. Both numbers include memory.
func limitMemory(out *specs.LinuxResources, r *runtimeapi.LinuxContainerResources, host *Host) {
	memory, swap := r.GetMemoryLimitInBytes(), r.GetMemorySwapLimitInBytes()
	if swap == 0 {
		swap = memory
	}
	if !host.Swap {
		swap = 0
	}
	if memory == 0 && swap == 0 {
		return
	}
	if out.Memory == nil {
		out.Memory = &specs.LinuxMemory{}
	}
	if memory != 0 {
		out.Memory.Limit = &memory
	}
	if swap != 0 {
		out.Memory.Swap = &swap
	}
}

func limitHugepages(out *specs.LinuxResources, limits []*runtimeapi.HugepageLimit, runtime *config.Runtime, host *Host) error {
	const field = "linux.resources.hugepage_limits"
	if len(limits) == 0 || runtime.DisableHugetlbController {
		return nil
	}
	if len(host.HugepageSizes) == 0 {
		if runtime.TolerateMissingHugetlb {
			return nil
		}
		return unable(field, limits, "cannot be had: the hugetlb cgroup controller is missing, and tolerate_missing_hugetlb_controller is false")
	}
	for i, l := range limits {
		if !slices.Contains(host.HugepageSizes, l.GetPageSize()) {
			return invalid(fmt.Sprintf("%s[%d].page_size", field, i), l.GetPageSize(), "is none of %s", strings.Join(host.HugepageSizes, ", "))
		}
		out.HugepageLimits = append(out.HugepageLimits, specs.LinuxHugepageLimit{Pagesize: l.GetPageSize(), Limit: l.GetLimit()})
	}
	return nil
}

// limitUnified passes cgroup files of version 2 on. Their names must not
// lead anywhere else.
func limitUnified(out *specs.LinuxResources, unified map[string]string, host *Host) error {
	if len(unified) == 0 {
		return nil
	}
	if !host.CgroupV2 {
		return unable("linux.resources.unified", slices.Sorted(maps.Keys(unified)), "cannot be had: this machine has cgroup version 1")
	}
	for _, name := range slices.Sorted(maps.Keys(unified)) {
		if name == "" || strings.Contains(name, "/") || !strings.Contains(name, ".") {
			return invalid("linux.resources.unified", name, "is not the name of a controller's file")
		}
	}
	if out.Unified == nil {
		out.Unified = make(map[string]string, len(unified))
	}
	maps.Copy(out.Unified, unified)
	return nil
}
