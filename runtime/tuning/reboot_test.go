package tuning_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trivet-cri/trivet/internal/config"
)

func TestReboot(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	keep := filepath.Join(m.deps.Root, "etc/banned")
	reboot := func() { t.Helper(); ok(t, m.begin(t).Reboot(t.Context())) }
	reboot()
	if _, err := os.Stat(keep); err == nil {
		t.Fatal("a file was made where no pod may keep interrupts away")
	}
	m.deps.Config.Handlers = map[string]config.Handler{"fast": {AllowedAnnotations: []string{"irq-load-balancing.crio.io"}}}
	reboot() // the first time
	m.has(t, map[string]string{"etc/banned": "80"})
	ok(t, m.begin(t).Begin(t.Context(), container("a", "2-3", "irq-load-balancing.crio.io=disable")))
	reboot() // only a restart
	const tuned = "# irqbalance\nIRQBALANCE_BANNED_CPUS=\"0000008c\"\nIRQBALANCE_ARGS=x"
	m.has(t, map[string]string{irqConfig: tuned, affinity: "000000f3"})
	ok(t, os.Remove(m.deps.Ledger))
	reboot() // the mask is not the kernel's own
	m.has(t, map[string]string{irqConfig: tuned})
	m.set(t, affinity, "ff")
	m.moved = nil
	reboot()
	reboot()
	m.has(t, map[string]string{irqConfig: "# irqbalance\nIRQBALANCE_BANNED_CPUS=\"80\"\nIRQBALANCE_ARGS=x"})
	if !slices.Equal(m.moved, []string{"80"}) {
		t.Errorf("irqbalance was told %q", m.moved)
	}
	m.set(t, "etc/banned", "1")
	m.deps.Config.IRQBalanceRestoreFile = "disable"
	reboot()
	m.deps.Config.IRQBalanceRestoreFile, m.deps.Config.IRQBalanceConfigFile = "/etc/banned", "/etc/missing"
	reboot()
	m.has(t, map[string]string{irqConfig: "# irqbalance\nIRQBALANCE_BANNED_CPUS=\"80\"\nIRQBALANCE_ARGS=x"})
	ok(t, os.Remove(filepath.Join(m.deps.Root, affinity)))
	if err := m.begin(t).Reboot(t.Context()); err == nil {
		t.Error("a mask that is not there is no error")
	}
}
