package spec

import (
	"fmt"
	"maps"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
)

// Change is a request to change the limits of a container that exists.
type Change struct {
	Resources   *runtimeapi.LinuxContainerResources
	Annotations map[string]string
	// Started says that its process is there: then its OOM score stays as it is.
	Started bool

	Handler config.Handler
	Runtime config.Runtime
	Host    Host
}

// Apply returns a copy of old with the change: what the request leaves open
// stays as it was. Annotations are passed on as those of the container's
// creation. Errors are as of Build.
func (c *Change) Apply(old *specs.Spec) (*specs.Spec, error) {
	s, err := clone(old)
	if err != nil {
		return nil, fmt.Errorf("copy spec: %w", err)
	}
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
	if s.Linux.Resources == nil {
		s.Linux.Resources = &specs.LinuxResources{}
	}
	if err := limit(s.Linux.Resources, c.Resources, &c.Handler, &c.Runtime, &c.Host); err != nil {
		return nil, err
	}
	if adj := c.Resources.GetOomScoreAdj(); adj != 0 && !c.Started && s.Process != nil {
		s.Process.OOMScoreAdj = OOMScoreAdj(int(adj), &c.Runtime, &c.Host)
	}
	passThrough(s, c.Annotations, c.Handler.ContainerAnnotations)
	return s, nil
}

// PassedOn are those of the request's annotations that the handler lets
// through to its shim.
func (c *Change) PassedOn() map[string]string {
	scratch := &specs.Spec{}
	passThrough(scratch, c.Annotations, c.Handler.ContainerAnnotations)
	return scratch.Annotations
}

// Revert returns the limits that bring a container whose limits are changed
// to those of old: where old has none, the kernel's own value is named, for an
// update leaves alone what is not in it.
func Revert(old, changed *specs.LinuxResources) *specs.LinuxResources {
	back := specs.LinuxResources{}
	if old != nil {
		back = *old
	}
	if changed == nil {
		return &back
	}
	if c := changed.CPU; c != nil {
		cpu := specs.LinuxCPU{}
		if back.CPU != nil {
			cpu = *back.CPU
		}
		orElse(&cpu.Period, c.Period, 100_000)
		orElse(&cpu.Quota, c.Quota, -1)
		orElse(&cpu.Shares, c.Shares, 1024)
		back.CPU = &cpu
	}
	if m := changed.Memory; m != nil {
		memory := specs.LinuxMemory{}
		if back.Memory != nil {
			memory = *back.Memory
		}
		orElse(&memory.Limit, m.Limit, -1)
		orElse(&memory.Swap, m.Swap, -1)
		back.Memory = &memory
	}
	return &back
}

// orElse sets a value that changed has and back lacks.
func orElse[T any](back **T, changed *T, value T) {
	if *back == nil && changed != nil {
		*back = &value
	}
}

// Limits are the limits of a spec as the CRI has them: what is in force, which
// may be more than the request named.
func Limits(r *specs.LinuxResources, oomScoreAdj *int) *runtimeapi.LinuxContainerResources {
	out := &runtimeapi.LinuxContainerResources{OomScoreAdj: int64(valueOf(oomScoreAdj))}
	if r == nil {
		return out
	}
	if cpu := r.CPU; cpu != nil {
		out.CpuPeriod, out.CpuQuota, out.CpuShares = int64(valueOf(cpu.Period)), valueOf(cpu.Quota), int64(valueOf(cpu.Shares))
		out.CpusetCpus, out.CpusetMems = cpu.Cpus, cpu.Mems
	}
	if memory := r.Memory; memory != nil {
		out.MemoryLimitInBytes, out.MemorySwapLimitInBytes = valueOf(memory.Limit), valueOf(memory.Swap)
	}
	for _, l := range r.HugepageLimits {
		out.HugepageLimits = append(out.HugepageLimits, &runtimeapi.HugepageLimit{PageSize: l.Pagesize, Limit: l.Limit})
	}
	out.Unified = maps.Clone(r.Unified)
	return out
}

func valueOf[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
