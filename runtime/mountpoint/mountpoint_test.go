package mountpoint_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/runtime/mountpoint"
)

func TestRemove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	twice, link, full := filepath.Join(dir, "twice"), filepath.Join(dir, "link"), filepath.Join(dir, "full")
	for _, d := range []string{twice, full} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := unix.Mount("test", twice, "tmpfs", 0, "size=4k"); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink(full, link), os.Symlink(twice, link+"2")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(full, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{twice: true, full: false, link + "2": false, filepath.Join(dir, "missing"): false} {
		if is, err := mountpoint.Is(path); err != nil || is != want {
			t.Errorf("%s is a mount point: %t, %v", path, is, err)
		}
	}
	for range 2 {
		for _, path := range []string{twice, link, filepath.Join(dir, "missing", "too")} {
			if err := mountpoint.Remove(path); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	if err := mountpoint.Remove(full); err == nil {
		t.Error("a directory with content is gone")
	}
	if _, err := os.Stat(filepath.Join(full, "file")); err != nil {
		t.Error(err)
	}
}
