package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/trivet-cri/trivet/internal/cpuset"
)

// cgroupRoot is where cgroups are mounted, below the root of a file system.
const cgroupRoot = "sys/fs/cgroup"

// detectCgroups fills what cgroups of h's version can do, as files, the root
// file system, tells.
func (h *Host) detectCgroups(files fs.FS) error {
	swap, hugetlb := cgroupRoot+"/memory/memory.memsw.limit_in_bytes", exists(files, cgroupRoot+"/hugetlb")
	if h.CgroupV2 {
		own, err := ownCgroup(files)
		if err != nil {
			return err
		}
		// The root cgroup has no limits, so the own one is looked at.
		swap = path.Join(cgroupRoot, own, "memory.swap.max")
		controllers, err := fs.ReadFile(files, cgroupRoot+"/cgroup.controllers")
		if err != nil {
			return fmt.Errorf("read cgroup controllers: %w", err)
		}
		hugetlb = slices.Contains(strings.Fields(string(controllers)), "hugetlb")
		if h.CgroupOptions, err = cgroupOptions(files); err != nil {
			return err
		}
	}
	h.Swap = exists(files, swap)
	h.CPUs = numbers(files, "sys/devices/system/cpu/possible")
	h.MemoryNodes = numbers(files, "sys/devices/system/node/possible")
	if hugetlb {
		h.HugepageSizes = hugepageSizes(files)
	}
	return nil
}

// ownCgroup is this process's cgroup of version 2.
func ownCgroup(files fs.FS) (string, error) {
	text, err := fs.ReadFile(files, "proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("read own cgroup: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if own, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return own, nil
		}
	}
	return "", errors.New("read own cgroup: it has no entry of version 2")
}

// cgroupOptions are the options of the whole cgroup2 file system that the
// host has set.
func cgroupOptions(files fs.FS) ([]string, error) {
	text, err := fs.ReadFile(files, "proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	mounts, err := mountinfo.GetMountsFromReader(bytes.NewReader(text), mountinfo.SingleEntryFilter("/"+cgroupRoot))
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	var options []string
	for _, m := range mounts {
		for option := range strings.SplitSeq(m.VFSOptions, ",") {
			if option == "nsdelegate" || option == "memory_recursiveprot" {
				options = append(options, option)
			}
		}
	}
	return options, nil
}

// hugepageSizes are the kernel's, in the notation of cgroup files: 64KB, 2MB.
func hugepageSizes(files fs.FS) []string {
	entries, err := fs.ReadDir(files, "sys/kernel/mm/hugepages")
	if err != nil {
		return nil // a kernel without them
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

func exists(files fs.FS, name string) bool {
	_, err := fs.Stat(files, name)
	return err == nil
}

// numbers is the list in a file of the kernel's; empty if there is none.
func numbers(files fs.FS, name string) string {
	text, err := fs.ReadFile(files, name)
	list := strings.TrimSpace(string(text))
	if _, malformed := cpuset.Parse(list); err != nil || malformed != nil {
		return "" // the kernel itself will refuse what it does not have
	}
	return list
}
