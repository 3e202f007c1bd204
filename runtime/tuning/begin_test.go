package tuning_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const cpu2, cpu3 = "sys/devices/system/cpu/cpu2", "sys/devices/system/cpu/cpu3"

var all = []string{
	"irq-load-balancing.crio.io=disable", "cpu-quota.crio.io=disable",
	"cpu-c-states.crio.io=max_latency:10", "cpu-freq-governor.crio.io=performance",
}

func TestBeginAndEnd(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	before := m.files(t)
	tuner, s := m.begin(t), container("a", "2-3", all...)
	tuned := map[string]string{
		affinity: "000000f3", irqConfig: "# irqbalance\nIRQBALANCE_BANNED_CPUS=\"0000008c\"\nIRQBALANCE_ARGS=x",
		cpu2 + "/power/pm_qos_resume_latency_us": "10", cpu3 + "/cpufreq/scaling_governor": "performance",
		"sys/devices/system/cpu/cpu4/cpufreq/scaling_governor": "powersave", podV1 + "/cpu.cfs_quota_us": "-1",
	}
	for range 2 { // also anew, after a start that was cut short
		ok(t, tuner.Begin(t.Context(), s))
		m.has(t, tuned)
		tuner = m.begin(t) // killed
		if held := tuner.Held(); !slices.Equal(held, []string{"a"}) {
			t.Fatalf("held are %q", held)
		}
	}
	for range 2 {
		ok(t, tuner.End(t.Context(), "a"))
	}
	before[affinity], before[irqConfig] = "000000ff", "# irqbalance\nIRQBALANCE_BANNED_CPUS=\"80\"\nIRQBALANCE_ARGS=x"
	if after := m.files(t); !maps.Equal(after, before) {
		t.Errorf("after it the machine is %v, want %v", after, before)
	}
	if !slices.Equal(m.moved, []string{"0000008c", "80"}) || len(m.begin(t).Held()) > 0 {
		t.Errorf("irqbalance was told %q", m.moved)
	}
}

// TestTogether: containers that share a processor and a pod do not undo each
// other.
func TestTogether(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	tuner := m.begin(t)
	a := container("a", "2-3", "irq-load-balancing.crio.io=disable", "cpu-freq-governor.crio.io=performance", "cpu-shared.crio.io/app=enable")
	b := container("b", "0,3,7", "irq-load-balancing.crio.io=housekeeping", "cpu-c-states.crio.io=disable", "cpu-shared.crio.io/app=enable")
	b.CPU.Set = "0,1,3,5,7"
	ok(t, tuner.Begin(t.Context(), a))
	m.has(t, map[string]string{affinity: "000000f3", podV1 + "/cpu.cfs_quota_us": "300000"})
	ok(t, tuner.Begin(t.Context(), b))
	m.has(t, map[string]string{affinity: "00000073", podV1 + "/cpu.cfs_quota_us": "400000", cpu3 + "/power/pm_qos_resume_latency_us": "n/a"})
	ok(t, tuner.End(t.Context(), "a"))
	m.has(t, map[string]string{
		affinity: "00000077", podV1 + "/cpu.cfs_quota_us": "300000",
		cpu3 + "/cpufreq/scaling_governor": "powersave", cpu3 + "/power/pm_qos_resume_latency_us": "n/a",
	})
	ok(t, tuner.End(t.Context(), "b"))
	m.has(t, map[string]string{affinity: "000000ff", podV1 + "/cpu.cfs_quota_us": "200000", cpu3 + "/power/pm_qos_resume_latency_us": "0"})
}

// TestOtherProcessors: an update moves what is tuned.
func TestOtherProcessors(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	tuner, s := m.begin(t), container("a", "2", all...)
	ok(t, tuner.Begin(t.Context(), s))
	s.CPU.Set = "3"
	ok(t, tuner.Begin(t.Context(), s))
	m.has(t, map[string]string{
		affinity: "000000f7", cpu2 + "/cpufreq/scaling_governor": "powersave", cpu3 + "/cpufreq/scaling_governor": "performance",
	})
	s.CPU.Shares = 100 // none of its own any more
	ok(t, tuner.Begin(t.Context(), s))
	m.has(t, map[string]string{affinity: "000000ff", cpu3 + "/cpufreq/scaling_governor": "powersave", podV1 + "/cpu.cfs_quota_us": "200000"})
}

// TestOriginalMask: who got no interrupts before gets none afterwards.
func TestOriginalMask(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.set(t, affinity, "0000000b") // not to 2
	if err := os.Remove(filepath.Join(m.deps.Root, irqConfig)); err != nil {
		t.Fatal(err)
	}
	tuner := m.begin(t)
	ok(t, tuner.Begin(t.Context(), container("a", "2-3", "irq-load-balancing.crio.io=disable")))
	m.has(t, map[string]string{affinity: "00000003"})
	ok(t, tuner.End(t.Context(), "a"))
	m.has(t, map[string]string{affinity: "0000000b"})
	if _, err := os.Stat(filepath.Join(m.deps.Root, irqConfig)); err == nil {
		t.Error("a configuration of irqbalance was made")
	}
}

func TestBeginFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(*testing.T, *machine)
		say   string
	}{
		"governor": {func(t *testing.T, m *machine) {
			m.set(t, cpu3+"/cpufreq/scaling_available_governors", "powersave")
		}, "processor 3 has \"powersave\""},
		"no governors": {func(t *testing.T, m *machine) {
			ok(t, os.RemoveAll(filepath.Join(m.deps.Root, cpu3, "cpufreq")))
		}, "processor 3 has \"\""},
		"mask":       {func(t *testing.T, m *machine) { m.set(t, affinity, "what") }, "is not a mask"},
		"no latency": {func(t *testing.T, m *machine) { ok(t, os.RemoveAll(filepath.Join(m.deps.Root, cpu3, "power"))) }, "no such file"},
		"ledger":     {func(t *testing.T, m *machine) { ok(t, os.Mkdir(m.deps.Ledger+".new", 0o700)) }, "write ledger"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			test.spoil(t, m)
			before, tuner := m.files(t), m.begin(t)
			if err := tuner.Begin(t.Context(), container("a", "2-3", all...)); err == nil || !strings.Contains(err.Error(), test.say) {
				t.Errorf("got %v", err)
			}
			ok(t, tuner.End(t.Context(), "a"))
			if after := m.files(t); !maps.Equal(after, before) {
				t.Errorf("something was changed: %v", after)
			}
		})
	}
}

// TestEndIsTriedAgain: what cannot be restored now is known until it is.
func TestEndIsTriedAgain(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	tuner := m.begin(t)
	ok(t, tuner.Begin(t.Context(), container("a", "2-3", all...)))
	latency := filepath.Join(m.deps.Root, cpu2, "power/pm_qos_resume_latency_us")
	ok(t, os.Remove(latency))
	ok(t, os.Mkdir(latency, 0o700)) // cannot be written
	if err := tuner.End(t.Context(), "a"); err == nil {
		t.Error("no error")
	}
	m.has(t, map[string]string{cpu3 + "/power/pm_qos_resume_latency_us": "0", affinity: "000000ff"})
	tuner = m.begin(t)
	ok(t, os.Remove(latency))
	m.set(t, cpu2+"/power/pm_qos_resume_latency_us", "10")
	m.set(t, cpu3+"/power/pm_qos_resume_latency_us", "0")
	ok(t, tuner.End(t.Context(), "a"))
	m.has(t, map[string]string{cpu2 + "/power/pm_qos_resume_latency_us": "0", podV1 + "/cpu.cfs_quota_us": "200000"})
	if len(tuner.Held()) > 0 {
		t.Error("it is still held")
	}
}

// TestGone: the pod's cgroup has gone with the pod.
func TestGone(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	tuner := m.begin(t)
	ok(t, tuner.Begin(t.Context(), container("a", "2-3", all...)))
	ok(t, os.RemoveAll(filepath.Join(m.deps.Root, podV1)))
	ok(t, tuner.End(t.Context(), "a"))
	if len(tuner.Held()) > 0 {
		t.Error("it is still held")
	}
}

func TestDamagedLedger(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	ok(t, os.WriteFile(m.deps.Ledger, []byte("{"), 0o600))
	if held := m.begin(t).Held(); len(held) > 0 {
		t.Errorf("held are %q", held)
	}
	if _, err := os.Stat(m.deps.Ledger + ".damaged"); err != nil {
		t.Error(err)
	}
}
