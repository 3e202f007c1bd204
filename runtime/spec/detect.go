package spec

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/apparmor"
	"github.com/containerd/containerd/v2/pkg/cap"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/containerd/v2/pkg/seccomp"
	"github.com/moby/sys/userns"
	"golang.org/x/sys/unix"
)

// Detect reads the facts of this machine. It fails if one that containers
// depend on cannot be read; what a kernel may lack is not an error.
func Detect() (Host, error) {
	host := Host{
		Seccomp:           seccomp.IsEnabled(),
		AppArmor:          apparmor.HostSupports(),
		RecursiveReadOnly: hasMountSetattr(),
	}
	var err error
	if host.Hostname, err = os.Hostname(); err != nil {
		return Host{}, fmt.Errorf("read host name: %w", err)
	}
	if host.Capabilities, err = cap.Current(); err != nil {
		return Host{}, fmt.Errorf("read own capabilities: %w", err)
	}
	if host.OOMScoreAdj, err = ownOOMScoreAdj(); err != nil {
		return Host{}, err
	}
	// Only the first user namespace's privilege counts here.
	host.OOMScoreFixed = !slices.Contains(host.Capabilities, "CAP_SYS_RESOURCE") || userns.RunningInUserNS()
	var st unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &st); err != nil {
		return Host{}, fmt.Errorf("read cgroup version: %w", &fs.PathError{Op: "statfs", Path: "/sys/fs/cgroup", Err: err})
	}
	host.CgroupV2 = st.Type == unix.CGROUP2_SUPER_MAGIC
	if err := host.detectCgroups(os.DirFS("/")); err != nil {
		return Host{}, err
	}
	return host, host.detectPaths()
}

// hasMountSetattr asks the kernel by a call that cannot do anything.
func hasMountSetattr() bool {
	return !errors.Is(unix.MountSetattr(-1, "", 0, &unix.MountAttr{}), unix.ENOSYS)
}

func ownOOMScoreAdj() (int, error) {
	text, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return 0, fmt.Errorf("read own oom_score_adj: %w", err)
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read own oom_score_adj: %w", err)
	}
	return score, nil
}

// detectPaths takes containerd's default paths, some of which depend on the
// number of processors.
func (h *Host) detectPaths() error {
	ctx := namespaces.WithNamespace(context.Background(), "default")
	s, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: "default"})
	if err != nil {
		return fmt.Errorf("make default paths: %w", err)
	}
	h.MaskedPaths, h.ReadonlyPaths = s.Linux.MaskedPaths, s.Linux.ReadonlyPaths
	return nil
}
