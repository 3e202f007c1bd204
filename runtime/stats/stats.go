// Package stats reads what pods and containers use, from the kernel's own
// files: cgroups, and the interfaces of network namespaces.
//
//	cgroup of version 1, one directory a controller ─┐
//	cgroup of version 2 ─────────────────────────────┼─▶ Usage ─▶ Meter: cores
//	/proc/thread-self/net/dev in a namespace ────────┴─▶ []Interface
//
// Nobody else is asked, so that a shim that hangs costs nobody his figures.
//
// Invariant: a reading takes no lock that anything else holds and waits for
// nothing but the kernel. What a controller does not offer is absent, never
// zero. A file that cannot be understood spoils the figures that come from it:
// the rest is returned beside the error.
package stats

import "time"

// Usage is what the processes of a cgroup, and those below it, have used. A
// part whose controller does not know the cgroup is nil.
type Usage struct {
	Time      time.Time // of the reading
	CPU       *CPU
	Memory    *Memory
	Swap      *Swap
	IO        *Pressure
	Processes *uint64 // that exist now, their threads included
}

// CPU is the time that was computed.
type CPU struct {
	Total    uint64 // nanoseconds, over all cores
	Pressure *Pressure
}

// Memory is in bytes, but for the faults, which are counted.
type Memory struct {
	Usage      uint64
	WorkingSet uint64 // Usage without the file pages that the kernel would drop first
	RSS        uint64
	Faults     uint64
	Major      uint64  // Faults that had to read
	Available  *uint64 // up to the cgroup's own limit; nil without one
	Pressure   *Pressure
}

// Swap is in bytes.
type Swap struct {
	Usage     uint64
	Available *uint64 // up to the cgroup's own limit; nil without one
}

// Pressure is how long processes stalled for want of a resource. Some is when
// at least one did, Full when all did; either is nil if the kernel has none.
type Pressure struct {
	Some, Full *Stall
}

// Stall is a share of time, in percent, over the last seconds, and a sum.
type Stall struct {
	Avg10, Avg60, Avg300 float64
	Total                uint64 // nanoseconds
}

// Interface is one of a network namespace's, and what went through it.
type Interface struct {
	Name                                 string
	RxBytes, RxErrors, TxBytes, TxErrors uint64
}

// Sum is what several cgroups have used together: their counters and bytes,
// but no limits and no pressure, which do not add up. A part that none of them
// has is nil.
func Sum(parts []Usage) Usage {
	var sum Usage
	for _, u := range parts {
		if u.Time.After(sum.Time) {
			sum.Time = u.Time
		}
		if u.CPU != nil {
			sum.CPU = &CPU{Total: u.CPU.Total + deref(sum.CPU).Total}
		}
		if u.Memory != nil {
			m := deref(sum.Memory)
			sum.Memory = &Memory{
				Usage: m.Usage + u.Memory.Usage, WorkingSet: m.WorkingSet + u.Memory.WorkingSet, RSS: m.RSS + u.Memory.RSS,
				Faults: m.Faults + u.Memory.Faults, Major: m.Major + u.Memory.Major,
			}
		}
		if u.Swap != nil {
			sum.Swap = &Swap{Usage: u.Swap.Usage + deref(sum.Swap).Usage}
		}
		if u.Processes != nil {
			n := *u.Processes + deref(sum.Processes)
			sum.Processes = &n
		}
	}
	return sum
}

func deref[T any](p *T) (value T) {
	if p != nil {
		value = *p
	}
	return value
}
