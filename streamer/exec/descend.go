package exec

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// killRounds bounds the chase after processes that fork while they are killed.
const killRounds = 3

// killTree kills pid, its session and its descendants. It only touches
// processes in the container's cgroup: the number may mean another process
// here, if containerd lives in another PID namespace or it has exited.
// A child that has made its own session and lost its parent gets away.
func killTree(container string, pid int) {
	if pid <= 1 {
		return
	}
	for range killRounds {
		killed := 0
		for _, found := range family(pid) {
			if killIn(container, found) {
				killed++
			}
		}
		if killed == 0 {
			return
		}
	}
}

// killIn kills a process if it is in the container's cgroup.
func killIn(container string, pid int) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	// Read after the pidfd was opened: it is of the same process, or the
	// signal reaches nobody.
	if !belongs(container, pid) {
		return false
	}
	return unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil
}

// belongs tells whether a process is in a container's cgroup.
func belongs(container string, pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && strings.Contains(string(text), container)
}

// kinship is what /proc says about a process's relatives.
type kinship struct{ pid, parent, group, session int }

// family returns pid, the members of its session and group, and all their
// descendants, unless they are dead.
func family(pid int) []int {
	all := processes()
	member := map[int]bool{pid: true}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !member[p.pid] && (p.session == pid || p.group == pid || member[p.parent]) {
				member[p.pid], grown = true, true
			}
		}
	}
	var found []int
	for _, p := range all {
		if member[p.pid] {
			found = append(found, p.pid)
		}
	}
	return found
}

func processes() []kinship {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var all []kinship
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue
		}
		if p, err := parseStat(pid, string(text)); err == nil {
			all = append(all, p)
		}
	}
	return all
}

var errDead = errors.New("process is dead")

// parseStat reads /proc/PID/stat. The second field is the command's name in
// parentheses, and may have any characters.
func parseStat(pid int, text string) (kinship, error) {
	_, rest, ok := cutLast(text, ")")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 4 {
		return kinship{}, fmt.Errorf("stat of process %d is malformed", pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return kinship{}, errDead
	}
	p := kinship{pid: pid}
	for i, into := range []*int{&p.parent, &p.group, &p.session} {
		n, err := strconv.Atoi(fields[i+1])
		if err != nil {
			return kinship{}, fmt.Errorf("stat of process %d: %w", pid, err)
		}
		*into = n
	}
	return p, nil
}

func cutLast(text, separator string) (string, string, bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(separator):], true
}
