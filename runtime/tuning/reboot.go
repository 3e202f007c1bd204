package tuning

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Reboot puts back what irqbalance's configuration said before containers kept
// interrupts away, which the machine may have gone down with. That this was so
// is seen by the kernel's mask, which has all processors again, and by an empty
// ledger. The first time, it only notes what to put back.
func (t *Tuner) Reboot(ctx context.Context) error {
	keep := t.Config.IRQBalanceRestoreFile
	if keep == "" || keep == "disable" || !t.allowsIRQs() {
		return nil
	}
	if err := t.take(ctx); err != nil {
		return err
	}
	defer t.give()
	if l := t.ledger.Load(); l.Barred != "" || l.Banned != nil {
		return nil
	}
	changed, err := t.putBack(filepath.Join(t.Root, keep))
	if err != nil {
		return fmt.Errorf("restore irqbalance's configuration: %w", err)
	}
	if changed != nil {
		t.Log.InfoContext(ctx, "irqbalance's configuration is what it was before the reboot", "banned", changed.Mask)
		t.Rebalance(ctx, changed.Mask)
	}
	return nil
}

// allowsIRQs tells whether any pod may keep interrupts away.
func (t *Tuner) allowsIRQs() bool {
	for _, h := range t.Config.Handlers {
		if AllowsIRQs(h.AllowedAnnotations) {
			return true
		}
	}
	for _, w := range t.Config.Workloads {
		if AllowsIRQs(w.AllowedAnnotations) {
			return true
		}
	}
	return false
}

// putBack returns what it has changed the configuration to; nil for nothing.
func (t *Tuner) putBack(keep string) (*banned, error) {
	mask, err := t.interrupted()
	if err != nil {
		return nil, err
	}
	if online, err := t.online(); err != nil || !online.Within(mask) {
		return nil, err
	}
	now, err := t.readBanned()
	if err != nil || now == nil {
		return nil, err
	}
	text, err := os.ReadFile(keep)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, os.WriteFile(keep, []byte(now.Mask), 0o644)
	}
	if err != nil {
		return nil, err
	}
	was := banned{Set: true, Mask: strings.TrimSpace(string(text))}
	if was.Mask == now.Mask {
		return nil, nil
	}
	return &was, t.writeBanned(was)
}
