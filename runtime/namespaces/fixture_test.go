package namespaces_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/sys/mountinfo"
	"github.com/opencontainers/runtime-spec/specs-go"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/runtime/namespaces"
)

// In the end, no goroutine and no child is left, nor a mark on the process.
func TestMain(m *testing.M) {
	before := mainThread()
	createFromMainThread()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
			fmt.Fprintf(os.Stderr, "a child is left: %d, %v\n", pid, err)
			code = 1
		}
		if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 1 {
			fmt.Fprintf(os.Stderr, "the process cannot be dumped any more: %d, %v\n", dumpable, err)
			code = 1
		}
		if after := mainThread(); after != before {
			fmt.Fprintf(os.Stderr, "the main thread was in %v and is in %v\n", before, after)
			code = 1
		}
		os.Exit(code)
	}))
}

// createFromMainThread makes a pod when only the main thread is there to work
// for it. What comes of it is checked in the end.
func createFromMainThread() {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	dir, err := os.MkdirTemp("", "namespaces")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	pins, err := namespaces.New(filepath.Join(dir, "pods"))
	if err != nil {
		panic(err)
	}
	r := namespaces.Request{ID: ident.New(), Net: true, IPC: true, UTS: true}
	_, err = pins.Create(context.Background(), r)
	if err = errors.Join(err, pins.Remove(context.Background(), r.ID)); err != nil {
		panic(err)
	}
}

// mainThread are the namespaces that others see the process in.
func mainThread() (links [3]string) {
	for i, kind := range []string{"net", "ipc", "uts"} {
		links[i], _ = os.Readlink("/proc/self/ns/" + kind)
	}
	return links
}

// ids is one range, as the kubelet gives it.
func ids(host uint32) []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{ContainerID: 0, HostID: host, Size: 65536}}
}

// newPins is a Pins in a directory of the test, which must leave no mount.
func newPins(t *testing.T) (pins *namespaces.Pins, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root, to make namespaces")
	}
	dir = filepath.Join(t.TempDir(), "pods")
	pins, err := namespaces.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pins.Close()
		found, err := pins.List()
		if err != nil {
			t.Error(err)
		}
		for _, id := range found {
			if err := pins.Remove(context.Background(), id); err != nil {
				t.Error(err)
			}
		}
		if left := mountsBelow(t, dir); len(left) > 0 {
			t.Errorf("mounts are left: %v", left)
		}
	})
	return pins, dir
}

func create(t *testing.T, pins *namespaces.Pins, r namespaces.Request) (string, namespaces.Paths) {
	t.Helper()
	if r.ID == "" {
		r.ID = ident.New()
	}
	paths, err := pins.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return r.ID, paths
}

func mountsBelow(t *testing.T, dir string) []string {
	t.Helper()
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for _, info := range infos {
		points = append(points, info.Mountpoint)
	}
	return points
}

// inode identifies a namespace.
func inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

// wantNothing checks that neither file, directory nor mount is left.
func wantNothing(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if left := mountsBelow(t, dir); len(entries) > 0 || len(left) > 0 {
		t.Errorf("left are files %v and mounts %v", entries, left)
	}
}

func wantError(t *testing.T, err, kind error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if kind != nil && !isKind(err, kind) {
		t.Errorf("error %v is not %v", err, kind)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}
