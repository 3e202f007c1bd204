package up

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/trivet-cri/trivet/tools/lab/network"
	"github.com/trivet-cri/trivet/tools/lab/sweep"
)

// removeLimit bounds the removal of everything.
const removeLimit = 90 * time.Second

// remove removes all of the lab but its logs and gives its slot back.
func (l *lab) remove() error {
	begun := time.Now()
	err := l.removeFrom(l.Dir)
	if err == nil {
		slog.Info("lab is gone", "dir", l.Dir, "took", time.Since(begun).Round(time.Millisecond))
	}
	return errors.Join(err, l.slot.Release())
}

// removeFrom removes what is named after the slot, and the files of a lab in
// dir. What is not there is fine.
func (l *lab) removeFrom(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), removeLimit)
	defer cancel()
	cgroups, failed := l.family.Kill(ctx, l.slot.Cgroup())
	failed = errors.Join(failed, sweep.Unmount(dir), sweep.RemoveCgroup(l.slot.Cgroup()))
	for _, path := range cgroups {
		sweep.RemoveEmpty(path)
	}
	failed = errors.Join(
		failed,
		network.RemoveRules(ctx, l.family.Output, l.slot.Network(), false),
		network.RemoveBridge(l.slot.Bridge()),
		l.slot.Alone(func() error { return l.removeShared(ctx) }),
	)
	for _, name := range []string{binDir, cniDir, certsDir, registryDir, containerdDir, crictlConfig, containerdConfig} {
		failed = errors.Join(failed, os.RemoveAll(filepath.Join(dir, name)))
	}
	if failed != nil {
		return fmt.Errorf("remove lab in %s: %w", dir, failed)
	}
	return nil
}

// removeShared removes what labs share, when this is the last one: the chains
// of port mappings, the cgroups above those of containers without a parent, and
// hierarchies.
func (l *lab) removeShared(ctx context.Context) error {
	for _, namespace := range []string{"k8s.io", "trivet", "default"} {
		sweep.RemoveEmpty("/" + namespace)
	}
	return errors.Join(joinHybrid(), network.RemoveRules(ctx, l.family.Output, l.slot.Network(), true))
}
