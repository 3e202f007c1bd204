package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/ident"
)

// Processes are those of this machine.
type Processes struct{}

// KillShim kills the processes that were started as containerd starts shims:
// with the arguments -id ID. No two sandboxes of a machine have the same id.
func (Processes) KillShim(id string) (killed bool, err error) {
	if err := ident.Check("sandbox", id); err != nil {
		return false, err
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return false, fmt.Errorf("list processes: %w", err)
	}
	for _, line := range lines {
		text, err := os.ReadFile(line)
		if err != nil || !IsShimOf(text, id) {
			continue // it has ended meanwhile, or is another
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(line)))
		if err != nil {
			continue
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return killed, fmt.Errorf("kill shim %d of sandbox %s: %w", pid, id, err)
		}
		killed = true
	}
	return killed, nil
}

// IsShimOf tells whether a command line, as in /proc/PID/cmdline, is of the
// shim with an id.
func IsShimOf(cmdline []byte, id string) bool {
	args := bytes.Split(bytes.TrimSuffix(cmdline, []byte{0}), []byte{0})
	shim, hasID, hasNamespace := false, false, false
	for i, arg := range args {
		if i == 0 {
			shim = bytes.Contains([]byte(filepath.Base(string(arg))), []byte("shim"))
			continue
		}
		name := bytes.TrimLeft(args[i-1], "-")
		hasID = hasID || string(name) == "id" && string(arg) == id
		hasNamespace = hasNamespace || string(name) == "namespace"
	}
	return shim && hasID && hasNamespace
}

// HostPID compares the namespaces as the kernel numbers them.
func (Processes) HostPID(pid int) (bool, error) {
	own, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return false, fmt.Errorf("read own PID namespace: %w", err)
	}
	other, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("process %d of the sandbox has ended", pid)
	}
	if err != nil {
		return false, fmt.Errorf("read PID namespace of process %d: %w", pid, err)
	}
	return own == other, nil
}
