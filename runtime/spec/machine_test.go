package spec_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/spec"
)

// onThisMachine is plain with the real Machine.
func onThisMachine() spec.Input {
	in := plain()
	in.Host.Machine, in.Host.AppArmor = nil, false
	return in
}

func TestRealSeccompProfile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, bad, large, fifo := filepath.Join(dir, "good"), filepath.Join(dir, "bad"), filepath.Join(dir, "large"), filepath.Join(dir, "fifo")
	write(t, good, `{"defaultAction": "SCMP_ACT_LOG"}`)
	write(t, bad, `{"defaultAction": 7}`)
	write(t, large, strings.Repeat(" ", 4<<20+1))
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	in := onThisMachine()
	security(&in).Seccomp = local(good)
	if got := build(t, in).Linux.Seccomp; got == nil || got.DefaultAction != specs.ActLog {
		t.Errorf("got %+v", got)
	}
	for file, say := range map[string]string{bad: "decode", large: "is larger than", fifo: "is not a regular file", dir: "is not a regular file", dir + "/no": "no such file"} {
		security(&in).Seccomp = local(file)
		refused(t, in, lacks, say)
	}
}

// TestRealPropagation looks at mounts that it makes, and so needs root.
func TestRealPropagation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, flags := range map[string]uintptr{"shared": unix.MS_SHARED, "private": unix.MS_PRIVATE} {
		target := filepath.Join(dir, name)
		if err := os.Mkdir(target, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", target, "tmpfs", 0, "size=4k"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
		if err := unix.Mount("", target, "", flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("shared", link); err != nil {
		t.Fatal(err)
	}
	in := onThisMachine()
	m := &runtimeapi.Mount{ContainerPath: "/data", HostPath: link, Propagation: bidirectional}
	in.Config.Mounts = []*runtimeapi.Mount{m}
	build(t, in)
	m.HostPath = filepath.Join(dir, "private")
	refused(t, in, lacks, m.HostPath, "not shared")
	m.Propagation = fromHost
	refused(t, in, lacks, "neither shared nor slave")
	m.HostPath = filepath.Join(dir, "none")
	if _, err := spec.Build(in); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want not exist", err)
	}
}

// TestRealPrivileged scans this machine's /dev.
func TestRealPrivileged(t *testing.T) {
	t.Parallel()
	in := onThisMachine()
	privilege(&in)
	paths := devicePaths(build(t, in))
	if !slices.Contains(paths, "/dev/null") || slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, "/dev/pts/") }) {
		t.Fatalf("got %v", paths)
	}
}

func BenchmarkBuild(b *testing.B) {
	for name, change := range map[string]func(*spec.Input){
		"plain":   func(*spec.Input) {},
		"seccomp": func(in *spec.Input) { security(in).Seccomp = runtimeDefault },
	} {
		b.Run(name, func(b *testing.B) {
			in := plain()
			change(&in)
			b.ReportAllocs()
			for b.Loop() {
				build(b, in)
			}
		})
	}
}
