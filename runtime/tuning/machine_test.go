package tuning_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/tuning"
)

// machine has the files of one with eight processors, two threads a core.
type machine struct {
	deps  tuning.Deps
	moved []string // masks that irqbalance was told
}

const (
	affinity  = "proc/irq/default_smp_affinity"
	irqConfig = "etc/irqbalance"
	podV1     = "sys/fs/cgroup/cpu/kubepods/pod1"
	podV2     = "sys/fs/cgroup/kubepods/pod1"
)

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{}
	m.deps = tuning.Deps{
		Config: config.Runtime{SharedCPUSet: "0", IRQBalanceConfigFile: "/" + irqConfig, IRQBalanceRestoreFile: "/etc/banned"},
		Root:   filepath.Join(dir, "root"), Ledger: filepath.Join(dir, "tuning.json"),
		Rebalance: func(_ context.Context, banned string) { m.moved = append(m.moved, banned) },
		Log:       slog.New(slog.DiscardHandler),
	}
	m.set(t, affinity, "ff")
	m.set(t, "sys/devices/system/cpu/online", "0-7")
	for n, siblings := range []string{"0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7"} {
		cpu := "sys/devices/system/cpu/cpu" + string(rune('0'+n))
		m.set(t, cpu+"/topology/thread_siblings_list", siblings)
		m.set(t, cpu+"/power/pm_qos_resume_latency_us", "0")
		m.set(t, cpu+"/cpufreq/scaling_governor", "powersave")
		m.set(t, cpu+"/cpufreq/scaling_available_governors", "performance powersave")
	}
	m.set(t, irqConfig, "# irqbalance\nIRQBALANCE_BANNED_CPUS=80\nIRQBALANCE_ARGS=x")
	m.set(t, podV1+"/cpu.cfs_quota_us", "200000")
	m.set(t, podV2+"/cpu.max", "200000 100000")
	return m
}

func (m *machine) set(t *testing.T, file, text string) {
	t.Helper()
	path := filepath.Join(m.deps.Root, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) get(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.deps.Root, file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// has fails the test unless the files have these texts.
func (m *machine) has(t *testing.T, want map[string]string) {
	t.Helper()
	for file, text := range want {
		if got := m.get(t, file); got != text {
			t.Errorf("%s is %q, want %q", file, got, text)
		}
	}
}

// files are all of the machine's, by path.
func (m *machine) files(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(m.deps.Root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, m.deps.Root+"/")] = strings.TrimSpace(string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// begin is a process's life.
func (m *machine) begin(t *testing.T) *tuning.Tuner {
	t.Helper()
	tuner, err := tuning.New(m.deps)
	if err != nil {
		t.Fatal(err)
	}
	return tuner
}

// container is one of a guaranteed pod, with processors of its own.
func container(id, cpus string, annotations ...string) tuning.Subject {
	s := tuning.Subject{
		ID: id, Name: "app", Cgroup: "/kubepods/pod1/" + id,
		Handler: config.Handler{AllowedAnnotations: []string{"cpu-*.crio.io", "irq-load-balancing.crio.io"}},
		Pod: &runtimeapi.PodSandboxConfig{
			Annotations: make(map[string]string),
			Linux:       &runtimeapi.LinuxPodSandboxConfig{CgroupParent: "/kubepods/pod1"},
		},
		CPU: config.CPU{Shares: 2048, Quota: 200_000, Period: 100_000, Set: cpus},
	}
	for _, a := range annotations {
		key, value, _ := strings.Cut(a, "=")
		s.Pod.Annotations[key] = value
	}
	return s
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
