// Package tuning fits processors to containers that have them alone.
//
//	annotations ─▶ Shape ─▶ OCI spec: shared processors, quota, environment
//	            └▶ Begin ─▶ (ledger) ─▶ kernel: interrupts, sleep states, governor, pod's quota
//	   its cgroup ▶ Isolate ─▶ kernel: load balancing
//	     its end ─▶ End ─▶ kernel as before ─▶ (ledger)
//
// Pods ask for it by CRI-O's annotations for latency-sensitive workloads, where
// allowed_annotations admits them. As there, it is only for containers of
// guaranteed pods that ask for whole processors; others get none of it.
//
// Much of that outlives the container, so the ledger says what was there
// before, and for whom it was changed. It is written before anything is
// changed and is forgotten after all is changed back: whoever is killed at
// whatever instant, an End restores it. It lies where a reboot clears it, as
// that resets the kernel. What the kernel is told follows from the ledger
// alone, so that containers that share a processor do not undo each other.
package tuning

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/cpuset"
	"github.com/trivet-cri/trivet/runtime/annotation"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// Deps are what a tuner is made of.
type Deps struct {
	Config   config.Runtime
	Systemd  bool // cgroups are made through systemd
	CgroupV2 bool
	// Root is where the machine's files are, / but for tests.
	Root   string
	Ledger string // file; cleared by a reboot
	// Rebalance has irqbalance take up that it must leave some processors
	// alone; banned is their mask. *Balancer does.
	Rebalance func(ctx context.Context, banned string)
	Log       *slog.Logger
}

// Tuner tunes one machine. Its methods may be called concurrently.
type Tuner struct {
	Deps
	shared cpuset.Set
	turn   chan struct{} // holds a token while somebody changes the machine
	ledger atomic.Pointer[ledger]
}

// Subject is a container as far as its processors are concerned.
type Subject struct {
	ID, Name string
	Pod      *runtimeapi.PodSandboxConfig
	Handler  config.Handler
	Cgroup   string     // below the mount of a hierarchy
	CPU      config.CPU // in force
}

// New returns a tuner that knows of what earlier processes have changed.
func New(deps Deps) (*Tuner, error) {
	t := &Tuner{Deps: deps, turn: make(chan struct{}, 1)}
	var err error
	if t.shared, err = cpuset.Parse(deps.Config.SharedCPUSet); err != nil {
		return nil, fmt.Errorf("runtime.shared_cpuset %w", err)
	}
	known, err := t.readLedger()
	if err != nil {
		return nil, err
	}
	t.ledger.Store(known)
	return t, nil
}

// take waits until nobody else changes the machine; give ends it.
func (t *Tuner) take(ctx context.Context) error {
	select {
	case t.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("processors are being tuned for another container: %w", context.Cause(ctx))
	}
}

func (t *Tuner) give() { <-t.turn }

// plan is what is to be done for a container.
type plan struct {
	Request
	cpus   cpuset.Set // all that it runs on
	own    cpuset.Set // those that are not shared
	active bool       // false: it has asked for nothing, or may not
}

// plan reads the annotations. Errors: InvalidArgument with key and value,
// FailedPrecondition (it has no processors of its own, or none are shared).
func (t *Tuner) plan(s Subject) (p plan, err error) {
	allowed := annotation.Allowed(t.Config.AllowedAnnotations(&s.Handler, s.Pod.GetAnnotations()))
	if p.Request, err = requestOf(allowed, s.Pod.GetAnnotations(), s.Name); err != nil || p.Request == (Request{}) {
		return p, err
	}
	const whole = 1024 // shares of one processor
	if !spec.Guaranteed(s.Pod) || s.CPU.Shares == 0 || s.CPU.Shares%whole != 0 {
		return p, nil
	}
	if p.cpus, err = cpuset.Parse(s.CPU.Set); err != nil {
		return p, fmt.Errorf("processors of container %s: %q %w: %w", s.Name, s.CPU.Set, err, errdefs.ErrInvalidArgument)
	}
	if p.own = p.cpus; p.Shared {
		if t.shared.Empty() {
			return p, fmt.Errorf("annotations[%q]: runtime.shared_cpuset names none: %w", annotation.CPUShared+"/"+s.Name, errdefs.ErrFailedPrecondition)
		}
		p.own = p.cpus.Minus(t.shared)
	}
	if p.Request.cpus() && p.own.Empty() {
		return p, fmt.Errorf("container %s asks for tuned processors and has none of its own (the kubelet's CPU manager gives them): %w", s.Name, errdefs.ErrFailedPrecondition)
	}
	p.active = true
	return p, nil
}

// Names of variables that tell a container of its processors; applications
// know them from OpenShift.
const (
	isolatedVariable     = "OPENSHIFT_ISOLATED_CPUS"
	sharedVariable       = "OPENSHIFT_SHARED_CPUS"
	housekeepingVariable = "OPENSHIFT_HOUSEKEEPING_CPUS"
)

// Shape writes into a container's spec what it was asked for of shared
// processors and quota, and tells its process. s.CPU is not looked at. Errors
// are as of plan.
func (t *Tuner) Shape(s Subject, out *specs.Spec) error {
	p, err := t.limit(s, out.Linux.Resources)
	if err != nil || !p.active {
		return err
	}
	env := func(name string, cpus cpuset.Set) {
		rest := slices.DeleteFunc(out.Process.Env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
		out.Process.Env = append(rest, name+"="+cpus.String())
	}
	if p.Shared {
		env(isolatedVariable, p.own)
		env(sharedVariable, t.shared)
	}
	if p.Housekeeping {
		keep, err := t.housekeeping(p.own)
		if err != nil {
			return err
		}
		env(housekeepingVariable, keep)
	}
	return nil
}

// Limit is what Shape does to limits, for an update of them.
func (t *Tuner) Limit(s Subject, out *specs.LinuxResources) error {
	_, err := t.limit(s, out)
	return err
}

func (t *Tuner) limit(s Subject, out *specs.LinuxResources) (plan, error) {
	s.CPU = CPUOf(spec.Limits(out, nil))
	p, err := t.plan(s)
	if err != nil || !p.active || out.CPU == nil {
		return p, err
	}
	cpu := *out.CPU
	out.CPU = &cpu
	if p.Shared {
		p.cpus = p.own.Plus(t.shared)
		cpu.Cpus = p.cpus.String()
		if s.CPU.Quota > 0 {
			quota := int64(p.cpus.Size()) * period(s.CPU)
			cpu.Quota = &quota
		}
	}
	if p.NoQuota && s.CPU.Quota > 0 {
		none := int64(-1)
		cpu.Quota = &none
	}
	return p, nil
}

// CPUOf are limits of the CRI as a subject has them.
func CPUOf(r *runtimeapi.LinuxContainerResources) config.CPU {
	return config.CPU{Shares: r.GetCpuShares(), Quota: r.GetCpuQuota(), Period: r.GetCpuPeriod(), Set: r.GetCpusetCpus()}
}

func period(c config.CPU) int64 {
	if c.Period == 0 {
		return 100_000 // the kernel's own
	}
	return c.Period
}

// housekeeping are the first processor and those that share its core, as far
// as they are among own.
func (t *Tuner) housekeeping(own cpuset.Set) (cpuset.Set, error) {
	first := own.List()[0]
	text, err := t.read(filepath.Join(cpuDir(first), "topology/thread_siblings_list"))
	if err != nil || text == "" {
		return cpuset.Of(first), nil // a kernel without threads
	}
	siblings, err := cpuset.Parse(text)
	if err != nil {
		return cpuset.Set{}, fmt.Errorf("siblings of processor %d: %q %w", first, text, err)
	}
	return own.Both(siblings.Plus(cpuset.Of(first))), nil
}

// cpuDir has the kernel's files about a processor.
func cpuDir(n int) string { return "sys/devices/system/cpu/cpu" + strconv.Itoa(n) }
