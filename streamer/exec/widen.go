package exec

import (
	"golang.org/x/sys/unix"
)

// widen lets a command and its shim write more before the other has read: the
// pipes between them, which the shim makes, are enlarged as the FIFOs are. It is
// done through the command's own descriptors, of which copies are had without
// opening anything; a command that has already replaced them is left alone
// unless they are pipes as well. Kernels before 5.6 do without.
func widen(container string, pid int) {
	if pid <= 1 {
		return
	}
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(process) }()
	// Read after the pidfd was opened: see killIn.
	if !belongs(container, pid) {
		return
	}
	for fd := range 3 {
		pipe, err := unix.PidfdGetfd(process, fd, 0)
		if err != nil {
			continue
		}
		// No pipe is an error too, and less than it has would be.
		if size, err := unix.FcntlInt(uintptr(pipe), unix.F_GETPIPE_SZ, 0); err == nil && size < pipeSize {
			_, _ = unix.FcntlInt(uintptr(pipe), unix.F_SETPIPE_SZ, pipeSize)
		}
		_ = unix.Close(pipe)
	}
}
