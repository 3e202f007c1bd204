package tuning

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/cpuset"
)

// cgroups is where they are mounted, below the root.
const cgroups = "sys/fs/cgroup"

// Isolate has the scheduler balance no load over a container's processors, if
// it asks for that. Its cgroup is there, its process does not run yet. With
// version 1 the cgroups above must not balance, either, which is up to who
// makes them; with version 2 the processors are taken from those. Errors are
// as of Begin.
func (t *Tuner) Isolate(ctx context.Context, s Subject) error {
	p, err := t.plan(s)
	if err != nil || !p.active || !p.NoBalance {
		return err
	}
	if !t.CgroupV2 {
		if err := t.write(filepath.Join(cgroups, "cpuset", s.Cgroup, "cpuset.sched_load_balance"), "0"); err != nil {
			return fmt.Errorf("isolate processors of container %s: %w", s.ID, err)
		}
		return nil
	}
	if err := t.take(ctx); err != nil {
		return err
	}
	defer t.give()
	if err := t.isolate(s, p); err != nil {
		return fmt.Errorf("isolate processors of container %s: %w", s.ID, err)
	}
	return nil
}

// isolate makes the lowest cgroup a partition of its own, as the kernel calls
// it. For that, all those above must have the processors among their exclusive
// ones.
func (t *Tuner) isolate(s Subject, p plan) error {
	dirs := above(s.Cgroup)
	if p.Shared {
		// The shared processors are balanced: the others are for a cgroup below,
		// into which the container moves its processes itself.
		child, err := t.child(s.Cgroup, p.own)
		if err != nil {
			return err
		}
		dirs = append(dirs, child)
	}
	next := t.ledger.Load().clone()
	h := next.Held[s.ID]
	old, err := cpuset.Parse(h.Isolated)
	if err != nil {
		return fmt.Errorf("ledger of processors: isolated %q %w", h.Isolated, err)
	}
	h.Isolated, h.Cgroups = p.own.Plus(old).String(), dirs
	next.Held[s.ID] = h
	if err := t.keep(next); err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := t.exclude(dir, p.own, cpuset.Set{}); err != nil {
			return err
		}
	}
	if err := t.partition(dirs[len(dirs)-1]); err != nil {
		return err
	}
	if err := t.unite(s.ID, dirs, old.Minus(p.own)); err != nil {
		return err
	}
	next = t.ledger.Load().clone()
	h.Isolated = p.own.String()
	next.Held[s.ID] = h
	return t.keep(next)
}

// above are the cgroups down to one, the uppermost first.
func above(path string) []string {
	var dirs []string
	at := cgroups
	for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		at = filepath.Join(at, part)
		dirs = append(dirs, at)
	}
	return dirs
}

// child makes the cgroup for the processors that are not shared.
func (t *Tuner) child(path string, own cpuset.Set) (string, error) {
	parent := filepath.Join(cgroups, path)
	if err := t.write(filepath.Join(parent, "cgroup.subtree_control"), "+cpu +cpuset"); err != nil {
		return "", err
	}
	dir := filepath.Join(parent, "cgroup-child")
	if err := os.Mkdir(filepath.Join(t.Root, dir), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return dir, t.write(filepath.Join(dir, "cpuset.cpus"), own.String())
}

// exclude changes the exclusive processors of a cgroup.
func (t *Tuner) exclude(dir string, add, remove cpuset.Set) error {
	file := filepath.Join(dir, "cpuset.cpus.exclusive")
	text, err := t.read(file)
	if err != nil {
		return err
	}
	has, err := cpuset.Parse(text)
	if err != nil {
		return fmt.Errorf("%s: %q %w", file, text, err)
	}
	if next := has.Minus(remove).Plus(add); !next.Equal(has) {
		return t.write(file, next.String())
	}
	return nil
}

// partition isolates the processors of a cgroup. The kernel takes what it
// cannot do, and says why when asked.
func (t *Tuner) partition(dir string) error {
	file := filepath.Join(dir, "cpuset.cpus.partition")
	if err := t.write(file, "isolated"); err != nil {
		return err
	}
	if text, err := t.read(file); err != nil || text != "isolated" {
		return errors.Join(err, fmt.Errorf("%s is %q: %w", file, text, errdefs.ErrFailedPrecondition))
	}
	return nil
}

// unite takes processors from the exclusive ones of a container's cgroups,
// the lowest first, unless another container needs them there. A cgroup that
// has gone has none.
func (t *Tuner) unite(id string, dirs []string, cpus cpuset.Set) error {
	var failed []error
	for _, dir := range slices.Backward(dirs) {
		remove := cpus.Minus(t.ledger.Load().isolated(dir, id))
		if err := t.exclude(dir, cpuset.Set{}, remove); err != nil && !gone(err) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// join ends a container's partition.
func (t *Tuner) join(id string, h held) error {
	if len(h.Cgroups) == 0 {
		return nil
	}
	cpus, err := cpuset.Parse(h.Isolated)
	if err != nil {
		return fmt.Errorf("ledger of processors: isolated %q %w", h.Isolated, err)
	}
	lowest := h.Cgroups[len(h.Cgroups)-1]
	if err := t.write(filepath.Join(lowest, "cpuset.cpus.partition"), "member"); err != nil && !gone(err) {
		return err
	}
	return t.unite(id, h.Cgroups, cpus)
}

// isolated are the processors that others than a container have taken from a
// cgroup.
func (l *ledger) isolated(dir, but string) (all cpuset.Set) {
	for id, h := range l.Held {
		if id != but && slices.Contains(h.Cgroups, dir) {
			cpus, _ := cpuset.Parse(h.Isolated) // was written by String
			all = all.Plus(cpus)
		}
	}
	return all
}

// noQuota is no limit of processor time, as the pod's file has it.
func (t *Tuner) noQuota() string {
	if t.CgroupV2 {
		return "max"
	}
	return "-1"
}

// raised is the text of a quota that is higher: a number, in version 2 with
// the period behind it. No limit stays none.
func raised(quota string, more int64) string {
	number, rest, _ := strings.Cut(quota, " ")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 {
		return quota
	}
	return strings.TrimSpace(strconv.FormatInt(n+more, 10) + " " + rest)
}
