// Package sweep removes what a lab has left on the machine: processes, mounts,
// cgroups. It asks nobody but the kernel, so it works as well after a lab
// that was killed.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// killLimit is how long killed processes may take to be gone.
const killLimit = 20 * time.Second

// Kill kills all processes in the cgroup of that path and below, in every
// hierarchy, and all descendants of this process and of those, and waits
// until they are gone. It returns the cgroups that they were in.
// Children that somebody waits for are left alone.
func (f *Family) Kill(ctx context.Context, cgroup string) ([]string, error) {
	seen := make(map[string]bool)
	deadline := time.Now().Add(killLimit)
	for {
		alive := targets(cgroup, f.isOwn)
		for _, pid := range alive {
			for _, dir := range cgroupsOf(pid) {
				seen[dir] = true
			}
		}
		if len(alive) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return keys(seen), fmt.Errorf("kill the lab's processes: %v are still there after %s", alive, killLimit)
		}
		for _, pid := range alive {
			_ = unix.Kill(pid, unix.SIGKILL) // it may be gone
		}
		select {
		case <-ctx.Done():
			return keys(seen), ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		f.reap()
	}
	return keys(seen), nil
}

func keys(set map[string]bool) []string {
	var all []string
	for key := range set {
		all = append(all, key)
	}
	return all
}

// targets are the processes to kill.
func targets(cgroup string, own func(int) bool) []int {
	children, zombies := processes()
	queue := []int{os.Getpid()}
	for _, hierarchy := range Hierarchies() {
		queue = append(queue, members(filepath.Join(hierarchy, cgroup))...)
	}
	seen := map[int]bool{os.Getpid(): true}
	var found []int
	for i := 0; i < len(queue); i++ {
		pid := queue[i]
		if !seen[pid] {
			seen[pid] = true
			if !own(pid) && !zombies[pid] {
				found = append(found, pid)
			}
		}
		for _, child := range children[pid] {
			if !seen[child] {
				queue = append(queue, child)
			}
		}
	}
	return found
}

// processes returns the children of each process, and which are dead but not
// waited for.
func processes() (children map[int][]int, zombies map[int]bool) {
	children, zombies = make(map[int][]int), make(map[int]bool)
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "stat"))
		if err != nil {
			continue // has ended
		}
		// The name, in parentheses, may contain anything.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) < 2 {
			continue
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			children[parent] = append(children[parent], pid)
		}
		zombies[pid] = fields[0] == "Z" || fields[0] == "X"
	}
	return children, zombies
}

// ErrLeft is the kind of errors that say what could not be removed.
var ErrLeft = errors.New("left behind")
