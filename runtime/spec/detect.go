package spec

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/apparmor"
	"github.com/containerd/containerd/v2/pkg/cap"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/containerd/v2/pkg/seccomp"
	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

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
	if err := host.detectCgroups(); err != nil {
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

func (h *Host) detectCgroups() error {
	var st unix.Statfs_t
	if err := unix.Statfs(cgroupRoot, &st); err != nil {
		return fmt.Errorf("read cgroup version: %w", &fs.PathError{Op: "statfs", Path: cgroupRoot, Err: err})
	}
	h.CgroupV2 = st.Type == unix.CGROUP2_SUPER_MAGIC
	swap, hugetlb := cgroupRoot+"/memory/memory.memsw.limit_in_bytes", exists(cgroupRoot+"/hugetlb")
	if h.CgroupV2 {
		own, err := ownCgroup()
		if err != nil {
			return err
		}
		// The root cgroup has no limits, so an own one is looked at.
		swap = filepath.Join(cgroupRoot, own, "memory.swap.max")
		controllers, err := os.ReadFile(cgroupRoot + "/cgroup.controllers")
		if err != nil {
			return fmt.Errorf("read cgroup controllers: %w", err)
		}
		hugetlb = slices.Contains(strings.Fields(string(controllers)), "hugetlb")
		h.CgroupOptions = cgroupOptions()
	}
	h.Swap = exists(swap)
	if hugetlb {
		h.HugepageSizes = hugepageSizes()
	}
	return nil
}

// ownCgroup is this process's cgroup of version 2.
func ownCgroup() (string, error) {
	file, err := os.Open("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("read own cgroup: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if own, ok := strings.CutPrefix(lines.Text(), "0::"); ok {
			return own, nil
		}
	}
	return "", fmt.Errorf("read own cgroup: %w", errors.Join(lines.Err(), errors.New("no entry of version 2")))
}

// cgroupOptions are the options of the whole cgroup2 file system that the
// host has set.
func cgroupOptions() []string {
	info, err := mount.Lookup(cgroupRoot)
	if err != nil {
		return nil
	}
	var options []string
	for option := range strings.SplitSeq(info.VFSOptions, ",") {
		if option == "nsdelegate" || option == "memory_recursiveprot" {
			options = append(options, option)
		}
	}
	return options
}

// hugepageSizes are the kernel's, in the notation of cgroup files: 64KB, 2MB.
func hugepageSizes() []string {
	entries, err := os.ReadDir("/sys/kernel/mm/hugepages")
	if err != nil {
		return nil
	}
	var sizes []string
	for _, entry := range entries {
		kib, found := strings.CutPrefix(entry.Name(), "hugepages-")
		n, err := strconv.ParseUint(strings.TrimSuffix(kib, "kB"), 10, 64)
		if found && err == nil {
			sizes = append(sizes, pageSize(n))
		}
	}
	return sizes
}

func pageSize(kib uint64) string {
	switch {
	case kib >= 1<<20 && kib%(1<<20) == 0:
		return strconv.FormatUint(kib>>20, 10) + "GB"
	case kib >= 1<<10 && kib%(1<<10) == 0:
		return strconv.FormatUint(kib>>10, 10) + "MB"
	}
	return strconv.FormatUint(kib, 10) + "KB"
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

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
