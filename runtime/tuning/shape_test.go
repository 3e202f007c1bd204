package tuning_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/tuning"
)

// specOf has the limits of a container.
func specOf(s tuning.Subject) *specs.Spec {
	shares, period := uint64(s.CPU.Shares), uint64(s.CPU.Period)
	cpu := &specs.LinuxCPU{Shares: &shares, Quota: &s.CPU.Quota, Period: &period, Cpus: s.CPU.Set}
	return &specs.Spec{
		Process: &specs.Process{Env: []string{"PATH=/bin", "OPENSHIFT_SHARED_CPUS=x"}},
		Linux:   &specs.Linux{Resources: &specs.LinuxResources{CPU: cpu}},
	}
}

func TestShape(t *testing.T) {
	t.Parallel()
	env := []string{"PATH=/bin", "OPENSHIFT_SHARED_CPUS=x"}
	for name, test := range map[string]struct {
		annotations []string
		edit        func(*tuning.Subject)
		cpus        string
		quota       int64
		env         []string
	}{
		"none":       {cpus: "2-3", quota: 200_000, env: env},
		"no quota":   {annotations: []string{"cpu-quota.crio.io=disable"}, cpus: "2-3", quota: -1, env: env},
		"of another": {annotations: []string{"cpu-quota.crio.io/other=disable"}, cpus: "2-3", quota: 200_000, env: env},
		"own first": {
			annotations: []string{"cpu-quota.crio.io=disable", "cpu-quota.crio.io/app=enable"}, cpus: "2-3", quota: 200_000, env: env,
		},
		"shared": {
			annotations: []string{"cpu-shared.crio.io/app=enable"}, cpus: "0,2-3", quota: 300_000,
			env: []string{"PATH=/bin", "OPENSHIFT_ISOLATED_CPUS=2-3", "OPENSHIFT_SHARED_CPUS=0"},
		},
		"shared is not the pod's": {annotations: []string{"cpu-shared.crio.io=enable"}, cpus: "2-3", quota: 200_000, env: env},
		"shared without quota": {
			annotations: []string{"cpu-shared.crio.io/app=enable", "cpu-quota.crio.io=true"}, cpus: "0,2-3", quota: -1,
			env: []string{"PATH=/bin", "OPENSHIFT_ISOLATED_CPUS=2-3", "OPENSHIFT_SHARED_CPUS=0"},
		},
		"housekeeping": {
			annotations: []string{"irq-load-balancing.crio.io=housekeeping"}, edit: func(s *tuning.Subject) { s.CPU.Set = "2,3,6" },
			cpus: "2,3,6", quota: 200_000, env: append(slices.Clone(env), "OPENSHIFT_HOUSEKEEPING_CPUS=2,6"),
		},
		"not allowed": {
			annotations: []string{"cpu-quota.crio.io=disable"}, edit: func(s *tuning.Subject) { s.Handler.AllowedAnnotations = nil },
			cpus: "2-3", quota: 200_000, env: env,
		},
		"burstable": {
			annotations: []string{"cpu-quota.crio.io=disable"}, edit: func(s *tuning.Subject) { s.Pod.Linux.CgroupParent = "/kubepods/burstable/pod1" },
			cpus: "2-3", quota: 200_000, env: env,
		},
		"part of a processor": {
			annotations: []string{"cpu-quota.crio.io=disable"}, edit: func(s *tuning.Subject) { s.CPU.Shares = 1500 },
			cpus: "2-3", quota: 200_000, env: env,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := container("a", "2-3", test.annotations...)
			if test.edit != nil {
				test.edit(&s)
			}
			out, tuner := specOf(s), newMachine(t).begin(t)
			ok(t, tuner.Shape(s, out))
			ok(t, tuner.Limit(s, out.Linux.Resources)) // an update that names none of it
			cpu := out.Linux.Resources.CPU
			if cpu.Cpus != test.cpus || *cpu.Quota != test.quota || !slices.Equal(out.Process.Env, test.env) {
				t.Errorf("processors %s, quota %d, environment %q", cpu.Cpus, *cpu.Quota, out.Process.Env)
			}
		})
	}
}

func TestWorkloadAllows(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.deps.Config.Workloads = config.Workloads{"w": {ActivationAnnotation: "fast", AllowedAnnotations: []string{"cpu-quota.crio.io"}}}
	s := container("a", "2-3", "cpu-quota.crio.io=disable", "fast=")
	s.Handler.AllowedAnnotations = nil
	out := specOf(s)
	ok(t, m.begin(t).Shape(s, out))
	if quota := *out.Linux.Resources.CPU.Quota; quota != -1 {
		t.Errorf("quota is %d", quota)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	wrong, lacks := errdefs.ErrInvalidArgument, errdefs.ErrFailedPrecondition
	for _, test := range []struct {
		annotation string
		edit       func(*machine, *tuning.Subject)
		kind       error
		say        string
	}{
		{"cpu-quota.crio.io=off", nil, wrong, `annotations["cpu-quota.crio.io"] "off" is neither enable nor disable`},
		{"cpu-load-balancing.crio.io/app=1", nil, wrong, `annotations["cpu-load-balancing.crio.io/app"] "1" is neither`},
		{"irq-load-balancing.crio.io=x", nil, wrong, `annotations["irq-load-balancing.crio.io"] "x" is neither`},
		{"cpu-shared.crio.io/app=true", nil, wrong, `annotations["cpu-shared.crio.io/app"] "true" is neither`},
		{"cpu-c-states.crio.io=max_latency:0", nil, wrong, `annotations["cpu-c-states.crio.io"] "max_latency:0" is none of`},
		{"cpu-c-states.crio.io=10", nil, wrong, `"10" is none of enable, disable and max_latency:MICROSECONDS`},
		{"cpu-freq-governor.crio.io=../x", nil, wrong, `"../x" is not the name of a frequency governor`},
		{"cpu-c-states.crio.io=disable", func(_ *machine, s *tuning.Subject) { s.CPU.Set = "" }, lacks, "has none of its own"},
		{"cpu-shared.crio.io/app=enable", func(_ *machine, s *tuning.Subject) { s.CPU.Set = "0" }, lacks, "has none of its own"},
		{"cpu-shared.crio.io/app=enable", func(m *machine, _ *tuning.Subject) { m.deps.Config.SharedCPUSet = "" }, lacks, "runtime.shared_cpuset names none"},
	} {
		m, s := newMachine(t), container("a", "2-3", test.annotation)
		if test.edit != nil {
			test.edit(m, &s)
		}
		tuner := m.begin(t)
		for _, err := range []error{tuner.Shape(s, specOf(s)), tuner.Begin(t.Context(), s)} {
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.say) {
				t.Errorf("%s: got %v", test.annotation, err)
			}
		}
	}
}

// FuzzAnnotations: whatever a pod asks for, it gets it or an error of its own.
func FuzzAnnotations(f *testing.F) {
	for _, value := range []string{"disable", "enable", "max_latency:10", "housekeeping", "performance", "true", ""} {
		f.Add(value, "2-3")
	}
	f.Fuzz(func(t *testing.T, value, cpus string) {
		tuner, err := tuning.New(tuning.Deps{Config: config.Runtime{SharedCPUSet: "0"}, Root: "/nonexistent", Ledger: "/nonexistent/ledger"})
		ok(t, err)
		for _, name := range []string{
			"irq-load-balancing", "cpu-load-balancing", "cpu-quota", "cpu-shared.crio.io/app", "cpu-c-states", "cpu-freq-governor",
		} {
			base, own, _ := strings.Cut(name, ".crio.io")
			s := container("a", cpus, base+".crio.io"+own+"="+value)
			err := tuner.Shape(s, specOf(s))
			if err != nil && !errors.Is(err, errdefs.ErrInvalidArgument) && !errors.Is(err, errdefs.ErrFailedPrecondition) {
				t.Errorf("%s=%q: %v", name, value, err)
			}
		}
	})
}
