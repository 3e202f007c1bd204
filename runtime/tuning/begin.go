package tuning

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/runtime/cgroup"
)

// Begin tunes the processors of a container that is about to start, or whose
// processors are others now. Its pod's quota is raised before the container's
// own is there, for no kernel takes one above it. After an error End is due.
// Errors are as of Shape, and FailedPrecondition for a governor that the
// machine does not have.
func (t *Tuner) Begin(ctx context.Context, s Subject) error {
	p, err := t.plan(s)
	if err != nil {
		return err
	}
	if !p.active {
		if p.Request != (Request{}) {
			t.Log.InfoContext(ctx, "container's processors are not tuned: that is for guaranteed pods and whole processors", telemetry.ContainerID, s.ID)
		}
		return t.End(ctx, s.ID) // of its earlier processors
	}
	if err := t.take(ctx); err != nil {
		return err
	}
	defer t.give()
	next := t.ledger.Load().clone()
	needs, err := t.needs(s, p)
	if err != nil {
		return err
	}
	was := next.Held[s.ID]
	needs.Isolated, needs.Cgroups = was.Isolated, was.Cgroups
	for _, file := range needs.files() {
		if _, known := next.Original[file]; known {
			continue
		}
		if next.Original[file], err = t.read(file); err != nil {
			return fmt.Errorf("tune container %s: %w", s.ID, err)
		}
	}
	next.Held[s.ID] = needs
	if err := t.settle(ctx, next, append(was.files(), needs.files()...)); err != nil {
		return fmt.Errorf("tune processors of container %s: %w", s.ID, err)
	}
	return nil
}

// needs is what a plan needs of the machine's files.
func (t *Tuner) needs(s Subject, p plan) (held, error) {
	h := held{Files: make(map[string]string), Raise: make(map[string]int64)}
	for _, n := range p.own.List() {
		if p.Latency != "" {
			h.Files[filepath.Join(cpuDir(n), "power/pm_qos_resume_latency_us")] = p.Latency
		}
		if p.Governor == "" {
			continue
		}
		there, err := t.read(filepath.Join(cpuDir(n), "cpufreq/scaling_available_governors"))
		if err != nil && !gone(err) {
			return h, err
		}
		if !slices.Contains(strings.Fields(there), p.Governor) {
			return h, fmt.Errorf("frequency governor %s cannot be had: processor %d has %q: %w", p.Governor, n, there, errdefs.ErrFailedPrecondition)
		}
		h.Files[filepath.Join(cpuDir(n), "cpufreq/scaling_governor")] = p.Governor
	}
	if quota, ok := t.podQuota(s); ok {
		switch {
		case p.NoQuota:
			h.Files[quota] = t.noQuota()
		case p.Shared && s.CPU.Quota > 0:
			h.Raise[quota] = int64(t.shared.Size()) * period(s.CPU)
		}
	}
	if !p.NoIRQs {
		return h, nil
	}
	quiet := p.own
	if p.Housekeeping {
		keep, err := t.housekeeping(p.own)
		if err != nil {
			return h, err
		}
		quiet = quiet.Minus(keep)
	}
	h.NoIRQ = quiet.String()
	return h, nil
}

// podQuota is the file with the quota of the container's pod, if there is one.
func (t *Tuner) podQuota(s Subject) (file string, ok bool) {
	parent := cgroup.Parent(s.Pod.GetLinux().GetCgroupParent(), t.Systemd)
	if parent == "" {
		return "", false
	}
	file = filepath.Join(cgroups, "cpu", parent, "cpu.cfs_quota_us")
	if t.CgroupV2 {
		file = filepath.Join(cgroups, parent, "cpu.max")
	}
	_, err := t.read(file)
	return file, err == nil
}

// settle writes the ledger and makes the machine so: files, then interrupts.
// Files that nobody holds any more get their original text, and only then are
// they forgotten. After an error the ledger tells what is to be done still.
func (t *Tuner) settle(ctx context.Context, next *ledger, files []string) error {
	irqs, err := t.planIRQs(next)
	if err != nil {
		return err
	}
	if err := t.keep(next); err != nil {
		return err
	}
	slices.Sort(files)
	var failed []error
	done := next.clone()
	for _, file := range slices.Compact(files) {
		text, held := next.wanted(file)
		if !held {
			var known bool
			if text, known = next.Original[file]; !known {
				continue // it was restored before a crash
			}
		}
		if err := t.write(file, text); err != nil && (held || !gone(err)) {
			failed = append(failed, err)
		} else if !held {
			delete(done.Original, file)
		}
	}
	if err := t.moveIRQs(ctx, irqs, done); err != nil {
		failed = append(failed, err)
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	if maps.Equal(done.Original, next.Original) && done.Barred == next.Barred && done.Banned == next.Banned {
		return nil
	}
	return t.keep(done)
}

// End restores what was changed for a container and nobody else needs. It is
// idempotent; one that nothing was changed for is no error, and does not wait.
// After an error it can be tried again.
func (t *Tuner) End(ctx context.Context, id string) error {
	if _, ok := t.ledger.Load().Held[id]; !ok {
		return nil
	}
	if err := t.take(ctx); err != nil {
		return err
	}
	defer t.give()
	if err := t.end(ctx, id); err != nil {
		return fmt.Errorf("restore processors of container %s: %w", id, err)
	}
	return nil
}

// end has the ledger tell of the container until all is restored: what is cut
// off here is found again.
func (t *Tuner) end(ctx context.Context, id string) error {
	next := t.ledger.Load().clone()
	was, ok := next.Held[id]
	if !ok {
		return nil // by another caller
	}
	if err := t.join(id, was); err != nil {
		return err
	}
	left := held{Released: was.files()}
	next.Held[id] = left
	if err := t.settle(ctx, next, left.Released); err != nil {
		return err
	}
	done := t.ledger.Load().clone()
	delete(done.Held, id)
	return t.keep(done)
}
