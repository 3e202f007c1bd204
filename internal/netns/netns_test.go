package netns_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/netns"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// current is the namespace of the calling thread.
func current(t *testing.T) string {
	t.Helper()
	name, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestInside(t *testing.T) {
	t.Parallel()
	pin := filepath.Join(t.TempDir(), "net")
	if err := os.WriteFile(pin, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "unshare", "--net", "mount", "--bind", "/proc/self/ns/net", pin).CombinedOutput(); err != nil {
		t.Fatalf("make a network namespace: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(pin, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	own := current(t)
	namespace, err := netns.Open(pin)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = namespace.Close() }()
	var stat unix.Stat_t
	if err := unix.Fstat(int(namespace.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	want, failure := fmt.Sprintf("net:[%d]", stat.Ino), errors.New("failure")
	for range 20 {
		err := netns.Inside(namespace, func() error {
			if got, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || got != want {
				t.Errorf("in %s, not %s: %v", got, want, err)
			}
			return failure
		})
		if !errors.Is(err, failure) {
			t.Errorf("got %v", err)
		}
		if now := current(t); now != own {
			t.Fatalf("this thread is in %s, was in %s", now, own)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, kind := range map[string]func(error) bool{
		"":                              errdefs.IsInvalidArgument,
		"net":                           errdefs.IsInvalidArgument,
		dir + "/../x":                   errdefs.IsInvalidArgument,
		dir:                             errdefs.IsInvalidArgument,
		filepath.Join(dir, "fifo"):      errdefs.IsInvalidArgument,
		"/proc/self/ns/uts":             errdefs.IsInvalidArgument,
		filepath.Join(dir, "none"):      errdefs.IsNotFound,
		filepath.Join(dir, "fifo", "x"): errdefs.IsNotFound,
	} {
		if _, err := netns.Open(path); !kind(err) {
			t.Errorf("%q: %v", path, err)
		}
	}
}
