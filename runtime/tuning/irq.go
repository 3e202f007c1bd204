package tuning

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/trivet-cri/trivet/internal/cpuset"
)

const (
	// smpAffinity has the mask of processors that new interrupts go to.
	smpAffinity = "proc/irq/default_smp_affinity"
	onlineCPUs  = "sys/devices/system/cpu/online"
	// bannedKey is irqbalance's variable with a mask of processors to leave alone.
	bannedKey = "IRQBALANCE_BANNED_CPUS"
)

// banned is what irqbalance's configuration said of bannedKey.
type banned struct {
	Set  bool   `json:"set"`
	Mask string `json:"mask"`
}

// irqs is a change of who gets interrupts. online are the processors there are.
type irqs struct {
	online, old, new cpuset.Set
}

// width is that of masks.
func (i *irqs) width() int { return i.online.Plus(i.old).Width() }

// planIRQs compares what next wants with the kernel's mask, and notes in next
// which processors are taken from it. nil is no change.
func (t *Tuner) planIRQs(next *ledger) (*irqs, error) {
	barred, err := cpuset.Parse(next.Barred)
	if err != nil {
		return nil, fmt.Errorf("ledger of processors: barred %q %w", next.Barred, err)
	}
	var wanted cpuset.Set
	for _, h := range next.Held {
		cpus, err := cpuset.Parse(h.NoIRQ)
		if err != nil {
			return nil, fmt.Errorf("ledger of processors: no_irq %q %w", h.NoIRQ, err)
		}
		wanted = wanted.Plus(cpus)
	}
	if wanted.Empty() && barred.Empty() {
		return nil, nil
	}
	mask, err := t.interrupted()
	if err != nil {
		return nil, err
	}
	online, err := t.online()
	if err != nil {
		return nil, err
	}
	plan := &irqs{online: online, old: mask}
	plan.new = mask.Plus(barred.Minus(wanted)).Minus(wanted)
	// Until all is done: those that are to be barred and those that were.
	next.Barred = barred.Plus(mask.Both(wanted)).String()
	if next.Banned == nil {
		next.Banned, err = t.readBanned()
	}
	return plan, err
}

// interrupted are the processors that new interrupts go to.
func (t *Tuner) interrupted() (cpuset.Set, error) {
	text, err := t.read(smpAffinity)
	if err != nil {
		return cpuset.Set{}, fmt.Errorf("read who gets interrupts: %w", err)
	}
	mask, err := cpuset.ParseMask(text)
	if err != nil {
		return cpuset.Set{}, fmt.Errorf("read who gets interrupts: %s: %w", smpAffinity, err)
	}
	return mask, nil
}

// online are the processors that the machine has.
func (t *Tuner) online() (cpuset.Set, error) {
	text, err := t.read(onlineCPUs)
	if err != nil {
		return cpuset.Set{}, fmt.Errorf("read which processors there are: %w", err)
	}
	online, err := cpuset.Parse(text)
	if err != nil {
		return cpuset.Set{}, fmt.Errorf("read which processors there are: %s: %q %w", onlineCPUs, text, err)
	}
	return online, nil
}

// moveIRQs carries a plan out; done is then the ledger of what is left.
func (t *Tuner) moveIRQs(ctx context.Context, plan *irqs, done *ledger) error {
	if plan == nil {
		return nil
	}
	if err := t.write(smpAffinity, plan.new.Mask(plan.width())); err != nil {
		return err
	}
	barred, _ := cpuset.Parse(done.Barred) // was written by String
	barred = barred.Minus(plan.new)
	done.Barred = barred.String()
	ban := banned{Set: true}
	switch was := done.Banned; {
	case was == nil: // irqbalance is not configured here
		ban.Mask = plan.online.Minus(plan.new).Mask(plan.width())
	case barred.Empty():
		ban, done.Banned = *was, nil
	default:
		before, _ := cpuset.ParseMask(was.Mask) // else it is none that counts
		ban.Mask = plan.online.Minus(plan.new).Plus(before).Mask(plan.width())
	}
	if err := t.writeBanned(ban); err != nil {
		return err
	}
	if !plan.new.Equal(plan.old) {
		t.Rebalance(ctx, ban.Mask)
	}
	return nil
}

// balanceFile is irqbalance's configuration.
func (t *Tuner) balanceFile() string { return filepath.Join(t.Root, t.Config.IRQBalanceConfigFile) }

// readBanned is what irqbalance's configuration says; nil if there is none.
func (t *Tuner) readBanned() (*banned, error) {
	text, err := os.ReadFile(t.balanceFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read runtime.irqbalance_config_file: %w", err)
	}
	var b banned
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), bannedKey+"="); ok {
			b = banned{Set: true, Mask: strings.Trim(value, `"'`)}
		}
	}
	return &b, nil
}

// writeBanned puts b into irqbalance's configuration, if there is one. All
// else in there stays.
func (t *Tuner) writeBanned(b banned) error {
	path := t.balanceFile()
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read runtime.irqbalance_config_file: %w", err)
	}
	own := fmt.Sprintf("%s=%q\n", bannedKey, b.Mask)
	if !b.Set {
		own = ""
	}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(strings.TrimSpace(line), bannedKey+"=") {
			line, own = own, "" // in its place, once
		}
		out.WriteString(line)
	}
	if own != "" && out.Len() > 0 && !strings.HasSuffix(out.String(), "\n") {
		own = "\n" + own
	}
	out.WriteString(own)
	if out.String() == string(text) {
		return nil
	}
	path, err = filepath.EvalSymlinks(path)
	info, missing := os.Stat(path)
	if err = errors.Join(err, missing); err == nil {
		err = os.WriteFile(path+".trivet", []byte(out.String()), info.Mode().Perm())
	}
	if err == nil {
		err = os.Rename(path+".trivet", path)
	}
	if err != nil {
		return fmt.Errorf("write runtime.irqbalance_config_file: %w", err)
	}
	return nil
}
