package sweep

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// unified says whether the machine has cgroup v2 alone.
func unified() bool {
	_, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers"))
	return err == nil
}

// Hierarchies are the directories of the mounted hierarchies: one on cgroup
// v2, one for each set of controllers on v1.
func Hierarchies() []string {
	if unified() {
		return []string{cgroupRoot}
	}
	entries, _ := os.ReadDir(cgroupRoot)
	var dirs []string
	for _, entry := range entries {
		if entry.IsDir() { // not the links to combined controllers
			dirs = append(dirs, filepath.Join(cgroupRoot, entry.Name()))
		}
	}
	return dirs
}

// MakeCgroup makes the cgroup that daemons run in and returns its
// directories: on v1 a memory cgroup is all that keeps them apart from the
// caller.
func MakeCgroup(path string) ([]string, error) {
	dir := filepath.Join(cgroupRoot, path)
	if !unified() {
		dir = filepath.Join(cgroupRoot, "memory", path)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make cgroup: %w", err)
	}
	return []string{dir}, nil
}

// members are the processes in the cgroup at dir and below.
func members(dir string) []int {
	var pids []int
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil // nothing there, or gone meanwhile
		}
		text, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// cgroupsOf are the paths of the cgroups that a process is in, roots left out.
func cgroupsOf(pid int) []string {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	var paths []string
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) == 3 && fields[2] != "/" {
			paths = append(paths, fields[2])
		}
	}
	return paths
}

// RemoveCgroup removes the cgroup at path in every hierarchy, with those below
// it. They must be empty of processes; the kernel may take a moment to see it.
func RemoveCgroup(path string) error {
	var failed []error
	for _, hierarchy := range Hierarchies() {
		var dirs []string
		_ = filepath.WalkDir(filepath.Join(hierarchy, path), func(dir string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, dir)
			}
			return nil
		})
		sort.Sort(sort.Reverse(sort.StringSlice(dirs))) // children first
		for _, dir := range dirs {
			failed = append(failed, removeDir(dir))
		}
	}
	return errors.Join(failed...)
}

func removeDir(dir string) error {
	deadline := time.Now().Add(5 * time.Second)
	for {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return fmt.Errorf("%w: cgroup %s: %w", ErrLeft, dir, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// RemoveEmpty removes the cgroup at path in every hierarchy if nothing is in
// it or below it, then its parents likewise. Those of this process stay.
func RemoveEmpty(path string) {
	ours := cgroupsOf(os.Getpid())
	for ; path != "/" && path != "."; path = filepath.Dir(path) {
		for _, own := range ours {
			if own == path || strings.HasPrefix(own, path+"/") {
				return
			}
		}
		for _, hierarchy := range Hierarchies() {
			_ = unix.Rmdir(filepath.Join(hierarchy, path)) // in use, or not there
		}
	}
}
