package nri

import (
	"maps"

	"github.com/containerd/nri/pkg/api"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// fromCRI are resources as plugins are told of them. Zero means not set.
func fromCRI(r *runtimeapi.LinuxContainerResources) *api.LinuxResources {
	if r == nil {
		return nil
	}
	out := &api.LinuxResources{
		Cpu:    &api.LinuxCPU{Cpus: r.GetCpusetCpus(), Mems: r.GetCpusetMems()},
		Memory: &api.LinuxMemory{}, Unified: maps.Clone(r.GetUnified()),
	}
	if r.GetCpuShares() != 0 {
		out.Cpu.Shares = api.UInt64(r.GetCpuShares())
	}
	if r.GetCpuQuota() != 0 {
		out.Cpu.Quota = api.Int64(r.GetCpuQuota())
	}
	if r.GetCpuPeriod() != 0 {
		out.Cpu.Period = api.UInt64(r.GetCpuPeriod())
	}
	if r.GetMemoryLimitInBytes() != 0 {
		out.Memory.Limit = api.Int64(r.GetMemoryLimitInBytes())
	}
	if r.GetMemorySwapLimitInBytes() != 0 {
		out.Memory.Swap = api.Int64(r.GetMemorySwapLimitInBytes())
	}
	for _, l := range r.GetHugepageLimits() {
		out.HugepageLimits = append(out.HugepageLimits, &api.HugepageLimit{PageSize: l.GetPageSize(), Limit: l.GetLimit()})
	}
	return out
}

// toCRI puts what plugins want over base, which may be nil: what they do not
// mention stays.
func toCRI(base *runtimeapi.LinuxContainerResources, r *api.LinuxResources) *runtimeapi.LinuxContainerResources {
	out := &runtimeapi.LinuxContainerResources{}
	if base != nil {
		out = proto.Clone(base).(*runtimeapi.LinuxContainerResources)
	}
	cpu, memory := r.GetCpu(), r.GetMemory()
	if v := cpu.GetShares(); v != nil {
		out.CpuShares = int64(v.GetValue())
	}
	if v := cpu.GetQuota(); v != nil {
		out.CpuQuota = v.GetValue()
	}
	if v := cpu.GetPeriod(); v != nil {
		out.CpuPeriod = int64(v.GetValue())
	}
	if v := cpu.GetCpus(); v != "" {
		out.CpusetCpus = v
	}
	if v := cpu.GetMems(); v != "" {
		out.CpusetMems = v
	}
	if v := memory.GetLimit(); v != nil {
		out.MemoryLimitInBytes = v.GetValue()
	}
	if v := memory.GetSwap(); v != nil {
		out.MemorySwapLimitInBytes = v.GetValue()
	}
	for _, l := range r.GetHugepageLimits() {
		out.HugepageLimits = replace(out.HugepageLimits, &runtimeapi.HugepageLimit{PageSize: l.GetPageSize(), Limit: l.GetLimit()},
			func(h *runtimeapi.HugepageLimit) bool { return h.GetPageSize() == l.GetPageSize() })
	}
	for key, value := range r.GetUnified() {
		put(&out.Unified, key, value)
	}
	return out
}
