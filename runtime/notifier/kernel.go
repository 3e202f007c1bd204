package notifier

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// notification is the kernel's struct seccomp_notif.
type notification struct {
	id         uint64
	pid, flags uint32
	number     int32
	arch       uint32
	pointer    uint64
	args       [6]uint64
}

// answer is the kernel's struct seccomp_notif_resp.
type answer struct {
	id    uint64
	value int64
	errno int32 // negative
	flags uint32
}

// read calls used with the thread and the name of each call that a descriptor
// tells of, and then has it fail. It returns nil when all processes with the filter have ended,
// or the file is closed.
func read(file *os.File, used func(thread uint32, name string)) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return fmt.Errorf("read seccomp notifications: %w", err)
	}
	for {
		var over bool
		var failed error
		err := conn.Read(func(fd uintptr) bool {
			var ready bool
			ready, over, failed = look(int(fd))
			return ready || over || failed != nil
		})
		if errors.Is(err, os.ErrClosed) || over {
			return nil
		}
		if err = errors.Join(err, failed); err != nil {
			return fmt.Errorf("read seccomp notifications: %w", err)
		}
		if err := conn.Control(func(fd uintptr) { failed = answerOne(fd, used) }); err != nil {
			return nil // closed
		}
		if failed != nil {
			return fmt.Errorf("answer seccomp notification: %w", failed)
		}
	}
}

// look tells whether a notification waits, or no more will come.
func look(fd int) (ready, over bool, err error) {
	state := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(state, 0); err != nil && !errors.Is(err, unix.EINTR) {
		return false, false, err
	}
	ready = state[0].Revents&unix.POLLIN != 0
	return ready, !ready && state[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0, nil
}

// answerOne takes a notification and answers it. That its caller was killed
// meanwhile is no error.
func answerOne(fd uintptr, used func(thread uint32, name string)) error {
	var asked notification
	err := control(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&asked)) //nolint:gosec // the kernel fills it in
	if err != nil {
		return unlessGone(err)
	}
	used(asked.pid, nameOf(asked.arch, int(asked.number)))
	said := answer{id: asked.id, errno: -int32(unix.ENOSYS)}
	return unlessGone(control(fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&said))) //nolint:gosec // the kernel reads it
}

func unlessGone(err error) error {
	for _, errno := range []unix.Errno{unix.ENOENT, unix.EINTR, unix.EINPROGRESS} {
		if errors.Is(err, errno) {
			return nil
		}
	}
	return err
}

func control(fd uintptr, request uint, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, uintptr(request), uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}

// nameOf is the name of a call of one of the machine's architectures.
func nameOf(id uint32, number int) string {
	for _, info := range []*arch.Info{arch.X86_64, arch.I386, arch.AARCH64, arch.ARM} {
		if uint32(info.ID) != id {
			continue
		}
		if name, ok := info.SyscallNumbers[number]; ok {
			return name
		}
	}
	return fmt.Sprintf("syscall %d", number)
}
