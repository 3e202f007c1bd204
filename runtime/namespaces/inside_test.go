package namespaces_test

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/runtime/namespaces"
)

func isKind(err, kind error) bool { return errors.Is(err, kind) }

// inside runs look on a thread in the pod's namespaces, all but the user's.
func inside(t *testing.T, paths namespaces.Paths, look func() error) {
	t.Helper()
	var wg sync.WaitGroup
	var err error
	wg.Go(func() {
		for runtime.LockOSThread(); unix.Gettid() == unix.Getpid(); runtime.LockOSThread() {
			// The main thread cannot end: wait for another.
			runtime.UnlockOSThread()
			runtime.Gosched()
		} // the thread ends here
		for path, flag := range map[string]int{paths.Net: unix.CLONE_NEWNET, paths.IPC: unix.CLONE_NEWIPC, paths.UTS: unix.CLONE_NEWUTS} {
			if path == "" {
				continue
			}
			var fd int
			if fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
				return
			}
			err = unix.Setns(fd, flag)
			_ = unix.Close(fd)
			if err != nil {
				return
			}
		}
		err = look()
	})
	wg.Wait()
	if err != nil {
		t.Error(err)
	}
}

// sysctl reads one inside of the pod, its blanks made single.
func sysctl(t *testing.T, paths namespaces.Paths, path string) (value string) {
	t.Helper()
	inside(t, paths, func() error {
		text, err := os.ReadFile("/proc/sys/" + path)
		value = strings.Join(strings.Fields(string(text)), " ")
		return err
	})
	return value
}

func hostname(t *testing.T, paths namespaces.Paths) (name string) {
	t.Helper()
	inside(t, paths, func() error {
		var uts unix.Utsname
		err := unix.Uname(&uts)
		name = unix.ByteSliceToString(uts.Nodename[:])
		return err
	})
	return name
}
