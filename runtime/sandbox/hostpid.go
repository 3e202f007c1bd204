package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// HostPID tells whether a process is in this process's PID namespace. It
// compares the namespaces as the kernel numbers them.
func HostPID(pid int) (bool, error) {
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
