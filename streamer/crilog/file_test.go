package crilog_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/streamer/crilog"
)

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link, folder, fifo := filepath.Join(dir, "link"), filepath.Join(dir, "folder"), filepath.Join(dir, "fifo")
	for _, err := range []error{os.Symlink("/etc/passwd", link), os.Mkdir(folder, 0o700), unix.Mkfifo(fifo, 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, is := range map[string]func(error) bool{
		link:                                 errdefs.IsInvalidArgument,
		folder:                               errdefs.IsInvalidArgument,
		fifo:                                 errdefs.IsInvalidArgument,
		"/etc/passwd/log":                    errdefs.IsInvalidArgument,
		filepath.Join(dir, "none", "0.log"):  errdefs.IsNotFound,
		filepath.Join(dir, "none2", "0.log"): errdefs.IsNotFound,
	} {
		_, err := crilog.Open(path)
		if !is(err) || !strings.Contains(err.Error(), filepath.Dir(path)) {
			t.Errorf("open %s: %v", path, err)
		}
	}
	if _, err := crilog.OpenExisting(filepath.Join(dir, "missing")); !errdefs.IsNotFound(err) {
		t.Errorf("open what does not exist: %v", err)
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "0.log")
	if err := os.WriteFile(path, []byte("before\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	f, err := crilog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Fatalf("log is %q, %v; want %q", got, err, want)
		}
	}
	if err := f.Append([]byte("one\ntwo\nto")); err != nil {
		t.Fatal(err)
	}
	check("before\none\ntwo\nto")
	if err := f.TrimRecord(7); err != nil {
		t.Fatal(err)
	}
	check("before\none\ntwo\n")
	if err := f.TrimRecord(100); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(7); err != nil {
		t.Fatal(err)
	}
	check("before\n")

	// Rotated, it is found beside the path, and only there.
	rotated := path + ".20260102-150405"
	if err := os.Rename(path, rotated); err != nil {
		t.Fatal(err)
	}
	found, err := crilog.Find(path, f.ID())
	if err != nil || found.ID() != f.ID() {
		t.Fatal(found, err)
	}
	if err := os.Remove(rotated); err != nil {
		t.Fatal(err)
	}
	if size, names, err := f.Size(); size != 7 || names != 0 || err != nil {
		t.Errorf("size %d, %d names, %v", size, names, err)
	}
	if _, err := crilog.Find(path, f.ID()); !errdefs.IsNotFound(err) {
		t.Errorf("find what was deleted: %v", err)
	}
	if err := found.Close(); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := f.Append([]byte("x")); err == nil {
		t.Error("append to a closed file succeeded")
	}
}

func TestMode(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "0.log")
	f, err := crilog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
