package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

const cgroupRoot = "/sys/fs/cgroup"

// RemoveCgroup removes the cgroup at path in every hierarchy, with empty
// cgroups below it. What is not there is fine.
func RemoveCgroup(path string) error {
	if path == "" || path == "/" {
		return nil
	}
	var failed []error
	for _, hierarchy := range cgroupHierarchies() {
		var dirs []string
		_ = filepath.WalkDir(filepath.Join(hierarchy, path), func(dir string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, dir)
			}
			return nil
		})
		sort.Sort(sort.Reverse(sort.StringSlice(dirs))) // children first
		for _, dir := range dirs {
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				failed = append(failed, fmt.Errorf("remove cgroup: %w", err))
			}
		}
	}
	return errors.Join(failed...)
}

// cgroupHierarchies are the mounted hierarchies: one on cgroup v2, one for
// each set of controllers on v1.
func cgroupHierarchies() []string {
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
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

// FindProcess returns the process id, on the host, of the first process of a
// pod's containers whose command line contains text. It asks nobody but the
// kernel.
func FindProcess(pod *Pod, text string) (int, error) {
	parent := pod.Config.GetLinux().GetCgroupParent()
	for _, hierarchy := range cgroupHierarchies() {
		found := 0
		_ = filepath.WalkDir(filepath.Join(hierarchy, parent), func(dir string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.IsDir() || found != 0 {
				return nil
			}
			found = processIn(filepath.Join(dir, "cgroup.procs"), text)
			return nil
		})
		if found != 0 {
			return found, nil
		}
	}
	return 0, fmt.Errorf("no process below cgroup %s has %q in its command line", parent, text)
}

func processIn(file, text string) int {
	list, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for _, field := range strings.Fields(string(list)) {
		line, err := os.ReadFile(filepath.Join("/proc", field, "cmdline"))
		if err != nil || !strings.Contains(string(line), text) {
			continue
		}
		if pid, err := strconv.Atoi(field); err == nil {
			return pid
		}
	}
	return 0
}
