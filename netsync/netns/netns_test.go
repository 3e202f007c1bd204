package netns_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/netsync/netns"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newNetNS pins a new network namespace until the test ends.
func newNetNS(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "netns")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	onThread(t, func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
	})
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	return path
}

// onThread runs fn on a thread that is thrown away.
func onThread(t *testing.T, fn func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- fn()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	kernel, good := netns.Kernel{}, newNetNS(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := kernel.Verify(good); err != nil || kernel.Gone(good) {
		t.Errorf("a good one: %v, gone %v", err, kernel.Gone(good))
	}
	for _, path := range []string{"", "netns", "/no/such", "/etc/passwd/x", "/etc/passwd", fifo, "/proc/self/ns/uts"} {
		if err := kernel.Verify(path); !errdefs.IsInvalidArgument(err) || !kernel.Gone(path) {
			t.Errorf("%q: %v, gone %v", path, err, kernel.Gone(path))
		}
	}
	if err := kernel.Verify("/proc/thread-self/ns/net"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("the host's: %v", err)
	}
	if err := unix.Unmount(good, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if !kernel.Gone(good) {
		t.Error("an unmounted pin is not gone")
	}
}

func TestLoopbackUp(t *testing.T) {
	t.Parallel()
	var group sync.WaitGroup
	paths := make([]string, 8)
	for i := range paths {
		paths[i] = newNetNS(t)
	}
	for _, path := range paths {
		group.Go(func() {
			if err := (netns.Kernel{}).LoopbackUp(path); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, path := range paths {
		onThread(t, func() error {
			fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer func() { _ = unix.Close(fd) }()
			if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
				return err
			}
			lo, err := net.InterfaceByName("lo")
			if err != nil {
				return err
			}
			addresses, err := lo.Addrs()
			if lo.Flags&net.FlagUp == 0 || len(addresses) == 0 {
				t.Errorf("lo has %v, addresses %v", lo.Flags, addresses)
			}
			return err
		})
	}
	if err := (netns.Kernel{}).LoopbackUp("/no/such"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("no namespace: %v", err)
	}
}
