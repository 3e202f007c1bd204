package spec

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/contrib/apparmor"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// MaxProfile is the size, in bytes, beyond which a seccomp profile is refused.
const MaxProfile = 4 << 20

// thisMachine is the real Machine.
type thisMachine struct{}

func (thisMachine) Devices(path string) ([]specs.LinuxDevice, string, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, "", fmt.Errorf("find device: %w", err)
	}
	scratch := &specs.Spec{Linux: &specs.Linux{Resources: &specs.LinuxResources{}}}
	if err := oci.WithDevices(resolved, "", "")(context.Background(), nil, nil, scratch); err != nil {
		return nil, "", fmt.Errorf("read devices at %q: %w", path, err)
	}
	return scratch.Linux.Devices, resolved, nil
}

func (thisMachine) MountOf(path string) (MountPoint, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return MountPoint{}, fmt.Errorf("find mount: %w", err)
	}
	info, err := mount.Lookup(resolved)
	if err != nil {
		return MountPoint{}, fmt.Errorf("find mount of %q: %w", path, err)
	}
	on := MountPoint{Point: info.Mountpoint}
	for _, field := range strings.Fields(info.Optional) {
		on.Shared = on.Shared || strings.HasPrefix(field, "shared:")
		on.Slave = on.Slave || strings.HasPrefix(field, "master:")
	}
	return on, nil
}

func (thisMachine) SeccompProfile(path string) (*specs.LinuxSeccomp, error) {
	// Not blocking, or a FIFO in place of the file would hold the request.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read from
	if info, err := file.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", path)
	}
	text, err := io.ReadAll(io.LimitReader(file, MaxProfile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > MaxProfile {
		return nil, fmt.Errorf("%q is larger than %d bytes", path, MaxProfile)
	}
	profile := &specs.LinuxSeccomp{}
	if err := json.Unmarshal(text, profile); err != nil {
		return nil, fmt.Errorf("decode %q: %w", path, err)
	}
	return profile, nil
}

func (thisMachine) LoadAppArmor(profile string) error {
	if profile == DefaultAppArmor {
		return apparmor.LoadDefaultProfile(profile)
	}
	loaded, err := os.Open("/sys/kernel/security/apparmor/profiles")
	if err != nil {
		return fmt.Errorf("list AppArmor profiles: %w", err)
	}
	defer func() { _ = loaded.Close() }() // only read from
	found, err := listsProfile(loaded, profile)
	if err != nil {
		return fmt.Errorf("list AppArmor profiles: %w", err)
	}
	if !found {
		return fmt.Errorf("AppArmor profile %q is not loaded: %w", profile, errdefs.ErrNotFound)
	}
	return nil
}

// listsProfile looks for a name in lines of "name (mode)". Names may have
// spaces.
func listsProfile(list io.Reader, profile string) (bool, error) {
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		if i := strings.LastIndex(lines.Text(), " ("); i >= 0 && lines.Text()[:i] == profile {
			return true, nil
		}
	}
	return false, lines.Err()
}
