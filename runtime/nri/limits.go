package nri

import "github.com/opencontainers/runtime-spec/specs-go"

func (g *generator) cpu() *specs.LinuxCPU {
	if g.spec.Linux.Resources.CPU == nil {
		g.spec.Linux.Resources.CPU = &specs.LinuxCPU{}
	}
	return g.spec.Linux.Resources.CPU
}

func (g *generator) memory() *specs.LinuxMemory {
	if g.spec.Linux.Resources.Memory == nil {
		g.spec.Linux.Resources.Memory = &specs.LinuxMemory{}
	}
	return g.spec.Linux.Resources.Memory
}

func (g *generator) SetLinuxResourcesCPUCpus(cpus string)     { g.cpu().Cpus = cpus }
func (g *generator) SetLinuxResourcesCPUMems(mems string)     { g.cpu().Mems = mems }
func (g *generator) SetLinuxResourcesCPUPeriod(period uint64) { g.cpu().Period = &period }
func (g *generator) SetLinuxResourcesCPUQuota(quota int64)    { g.cpu().Quota = &quota }
func (g *generator) SetLinuxResourcesCPUShares(shares uint64) { g.cpu().Shares = &shares }
func (g *generator) SetLinuxResourcesMemoryLimit(limit int64) { g.memory().Limit = &limit }
func (g *generator) SetLinuxResourcesMemorySwap(swap int64)   { g.memory().Swap = &swap }
func (g *generator) AddLinuxResourcesUnified(key, value string) {
	put(&g.spec.Linux.Resources.Unified, key, value)
}

func (g *generator) SetLinuxResourcesCPURealtimePeriod(period uint64) {
	g.cpu().RealtimePeriod = &period
}

func (g *generator) SetLinuxResourcesCPURealtimeRuntime(time int64) {
	g.cpu().RealtimeRuntime = &time
}

func (g *generator) AddLinuxResourcesHugepageLimit(pageSize string, limit uint64) {
	resources := g.spec.Linux.Resources
	resources.HugepageLimits = replace(resources.HugepageLimits, specs.LinuxHugepageLimit{Pagesize: pageSize, Limit: limit},
		func(l specs.LinuxHugepageLimit) bool { return l.Pagesize == pageSize })
}

func (g *generator) AddLinuxResourcesDevice(allow bool, kind string, major, minor *int64, access string) {
	g.spec.Linux.Resources.Devices = append(g.spec.Linux.Resources.Devices,
		specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Access: access, Major: major, Minor: minor})
}
