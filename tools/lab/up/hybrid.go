package up

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	// hierarchySource marks the hierarchies that labs have mounted.
	hierarchySource = "trivet-lab"
)

// splitHybrid takes the last controllers from version 2 on a machine where
// both versions of cgroups are mounted: crun before 1.9 does not run there
// otherwise. Each gets a hierarchy of version 1, as all the others have.
func splitHybrid() error {
	controllers, err := os.ReadFile(filepath.Join(cgroupRoot, "unified", "cgroup.controllers"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // not a hybrid
	}
	if err != nil {
		return fmt.Errorf("list controllers of cgroup v2: %w", err)
	}
	for _, controller := range strings.Fields(string(controllers)) {
		dir := filepath.Join(cgroupRoot, controller)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make hierarchy of cgroup controller: %w", err)
		}
		if err := unix.Mount(hierarchySource, dir, "cgroup", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, controller); err != nil {
			return errors.Join(fmt.Errorf("mount cgroup controller %s: %w", controller, err), os.Remove(dir))
		}
	}
	return nil
}

// joinHybrid gives back what splitHybrid took.
func joinHybrid() error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(cgroupRoot))
	if err != nil {
		return fmt.Errorf("list cgroup hierarchies: %w", err)
	}
	for _, m := range mounts {
		if m.FSType != "cgroup" || m.Source != hierarchySource {
			continue
		}
		if err := unix.Unmount(m.Mountpoint, 0); err != nil {
			return fmt.Errorf("unmount %s: %w", m.Mountpoint, err)
		}
		if err := os.Remove(m.Mountpoint); err != nil {
			return fmt.Errorf("remove hierarchy of cgroup controller: %w", err)
		}
	}
	return nil
}
