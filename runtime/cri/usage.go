package cri

import (
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/stats"
)

// defaultInterface is what CNI calls a pod's first one.
const defaultInterface = "eth0"

func value(n uint64) *runtimeapi.UInt64Value { return &runtimeapi.UInt64Value{Value: n} }

func optional(n *uint64) *runtimeapi.UInt64Value {
	if n == nil {
		return nil
	}
	return value(*n)
}

func cpuUsage(u stats.Usage, cores *stats.Meter) *runtimeapi.CpuUsage {
	if u.CPU == nil {
		return nil
	}
	return &runtimeapi.CpuUsage{
		Timestamp: u.Time.UnixNano(), UsageCoreNanoSeconds: value(u.CPU.Total),
		UsageNanoCores: optional(cores.NanoCores(u.Time, u.CPU.Total)), Psi: psi(u.CPU.Pressure),
	}
}

func memoryUsage(u stats.Usage) *runtimeapi.MemoryUsage {
	if u.Memory == nil {
		return nil
	}
	m := u.Memory
	return &runtimeapi.MemoryUsage{
		Timestamp: u.Time.UnixNano(), UsageBytes: value(m.Usage), WorkingSetBytes: value(m.WorkingSet),
		AvailableBytes: optional(m.Available), RssBytes: value(m.RSS),
		PageFaults: value(m.Faults), MajorPageFaults: value(m.Major), Psi: psi(m.Pressure),
	}
}

func swapUsage(u stats.Usage) *runtimeapi.SwapUsage {
	if u.Swap == nil {
		return nil
	}
	return &runtimeapi.SwapUsage{
		Timestamp: u.Time.UnixNano(), SwapUsageBytes: value(u.Swap.Usage), SwapAvailableBytes: optional(u.Swap.Available),
	}
}

func ioUsage(u stats.Usage) *runtimeapi.IoUsage {
	if u.IO == nil {
		return nil
	}
	return &runtimeapi.IoUsage{Timestamp: u.Time.UnixNano(), Psi: psi(u.IO)}
}

func processUsage(u stats.Usage) *runtimeapi.ProcessUsage {
	if u.Processes == nil {
		return nil
	}
	return &runtimeapi.ProcessUsage{Timestamp: u.Time.UnixNano(), ProcessCount: value(*u.Processes)}
}

func psi(p *stats.Pressure) *runtimeapi.PsiStats {
	if p == nil {
		return nil
	}
	return &runtimeapi.PsiStats{Some: stall(p.Some), Full: stall(p.Full)}
}

func stall(s *stats.Stall) *runtimeapi.PsiData {
	if s == nil {
		return nil
	}
	return &runtimeapi.PsiData{Avg10: s.Avg10, Avg60: s.Avg60, Avg300: s.Avg300, Total: s.Total}
}

// networkUsage sets the default interface apart: CNI's first, else the first
// there is. Without any it is nil, for clients take for granted that there is
// a default.
func networkUsage(found []stats.Interface) *runtimeapi.NetworkUsage {
	if len(found) == 0 {
		return nil
	}
	usage := &runtimeapi.NetworkUsage{Timestamp: time.Now().UnixNano()}
	first := 0
	for i, one := range found {
		if one.Name == defaultInterface {
			first = i
		}
	}
	for i, one := range found {
		translated := &runtimeapi.NetworkInterfaceUsage{
			Name: one.Name, RxBytes: value(one.RxBytes), RxErrors: value(one.RxErrors),
			TxBytes: value(one.TxBytes), TxErrors: value(one.TxErrors),
		}
		if i == first {
			usage.DefaultInterface = translated
		} else {
			usage.Interfaces = append(usage.Interfaces, translated)
		}
	}
	return usage
}
