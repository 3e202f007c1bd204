package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/runtime/cgroup"
)

// cgroupDir is the directory of a container's cgroup, or false: version 2, or
// else a controller of version 1.
func cgroupDir(cgroupsPath, controller string) (string, bool) {
	if cgroupsPath == "" {
		return "", false
	}
	relative := cgroup.Path(cgroupsPath)
	for _, dir := range []string{filepath.Join(cgroup.Mount, controller, relative), filepath.Join(cgroup.Mount, relative)} {
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			return dir, true
		}
	}
	return "", false
}

// oomKilled reads the kernel's own count, for the event may come after the
// exit. It must be asked before the cgroup goes.
func oomKilled(cgroupsPath string) bool {
	dir, ok := cgroupDir(cgroupsPath, "memory")
	if !ok {
		return false
	}
	for _, file := range []string{"memory.events", "memory.oom_control"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err == nil {
			return countOf(string(text), "oom_kill") > 0
		}
	}
	return false
}

// countOf reads a line "key number".
func countOf(text, key string) int {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), key+" "); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(value))
			return n
		}
	}
	return 0
}

// killCgroup kills every process in a container's cgroup, and in those below
// it, without anybody's help: by cgroup.kill where the kernel has it, else one
// by one. A path that is not of this container alone is refused.
func killCgroup(id, cgroupsPath string) error {
	dir, ok := cgroupDir(cgroupsPath, "memory")
	if !ok || !isOwn(dir, id) {
		return fmt.Errorf("cgroup %q of container %s is not there", cgroupsPath, id)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0); err == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return killProcesses(path)
	})
}

// isOwn tells whether a cgroup is of one container alone.
func isOwn(dir, id string) bool { return id != "" && strings.Contains(filepath.Base(dir), id) }

// killProcesses kills what is in one directory of a cgroup of version 1.
func killProcesses(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return fmt.Errorf("list processes of cgroup: %w", err)
	}
	var failed []error
	for _, field := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(field)
		if err != nil || pid <= 1 {
			continue
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			failed = append(failed, fmt.Errorf("kill process %d: %w", pid, err))
		}
	}
	return errors.Join(failed...)
}
