package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
)

const cgroupRoot = "/sys/fs/cgroup"

// removeCgroup removes the cgroup at path in every hierarchy, with empty
// cgroups below it. What is not there is fine.
func removeCgroup(path string) error {
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
