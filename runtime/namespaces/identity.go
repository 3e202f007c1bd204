package namespaces

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// dumpable tells whether the process was so before asUser first ran: a change
// of a thread's user makes the whole process undumpable. To look each time
// would see what another thread is about to restore.
var dumpable = sync.OnceValue(func() bool {
	value, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	return err == nil && value == 1
})

// asUser runs do with the effective user id uid and the same capabilities as
// before, on the calling thread alone.
func asUser(uid uint32, do func() error) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var capabilities [2]unix.CapUserData
	if err := unix.Capget(&header, &capabilities[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	restore := dumpable()
	own := uint32(unix.Geteuid())
	if err := setEffective(uid, &header, &capabilities); err != nil {
		return err
	}
	err := do()
	err = errors.Join(err, setEffective(own, &header, &capabilities))
	if restore {
		err = errors.Join(err, unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0))
	}
	return err
}

func setEffective(uid uint32, header *unix.CapUserHeader, capabilities *[2]unix.CapUserData) error {
	const keep = ^uintptr(0)
	// The raw call: the library's would change all threads.
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
		return fmt.Errorf("become user %d: %w", uid, errno)
	}
	if err := unix.Capset(header, &capabilities[0]); err != nil {
		return fmt.Errorf("keep capabilities as user %d: %w", uid, err)
	}
	return nil
}
