// Package shim works on the process of a shim, be it a container's, a pause
// container's or a sandbox's: it says where it runs, and, as the last resort
// against one that does not answer, ends it.
//
// containerd notices, and cleans up as after any shim that has died: it has the
// OCI runtime delete what is left of the container, and tells of its end. A shim
// is found by its command line, which by the shim protocol has the id of what it
// serves; ids are random, and nothing else has one after the flag that shims take.
// Who fakes such a command line inside a container is ended in place of it.
package shim

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/ident"
)

// Kill ends the shims of a container or sandbox, and returns how many there
// were. An id that is none is errdefs.ErrInvalidArgument.
func Kill(id string) (int, error) {
	return each(id, kill)
}

// each works on the processes of the shims of id, and counts them.
func each(id string, work func(pid int, id string) error) (int, error) {
	if err := ident.Check("id of a shim", id); err != nil {
		return 0, err
	}
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, fmt.Errorf("find shim of %s: %w", id, err)
	}
	done := 0
	var failed []error
	for _, path := range found {
		line, err := os.ReadFile(path)
		if err != nil || !Serves(line, id) {
			continue // a process that has ended has none
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || pid <= 1 || pid == os.Getpid() {
			continue
		}
		if err := work(pid, id); err != nil {
			failed = append(failed, err)
			continue
		}
		done++
	}
	return done, errors.Join(failed...)
}

// kill looks once more at the process that it holds: another may have its
// number by now.
func kill(pid int, id string) error {
	handle, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("kill shim of %s: %w", id, err)
	}
	defer func() { _ = unix.Close(handle) }() // nothing to lose
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil || !Serves(line, id) {
		return nil
	}
	if err := unix.PidfdSendSignal(handle, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill shim of %s, process %d: %w", id, pid, err)
	}
	return nil
}

// Serves tells whether a command line, as in /proc/PID/cmdline, is of a shim of
// id: SHIM -namespace NAMESPACE -id ID -address ADDRESS. The program may have any
// name: a runtime handler says which it is.
func Serves(cmdline []byte, id string) bool {
	args := bytes.Split(bytes.TrimSuffix(cmdline, []byte{0}), []byte{0})
	namespace, ours := false, false
	for i := 1; i+1 < len(args); i++ {
		if !bytes.HasPrefix(args[i], []byte("-")) {
			continue
		}
		switch string(bytes.TrimLeft(args[i], "-")) {
		case "namespace":
			namespace = true
		case "id":
			ours = ours || string(args[i+1]) == id
		}
	}
	return namespace && ours
}
