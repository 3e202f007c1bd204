package users_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/runtime/users"
)

// image makes a root with the given files; a value "-> TARGET" is a link.
func image(t testing.TB, files map[string]string) *os.Root {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "root")
	must(t, os.MkdirAll(dir, 0o755))
	for name, text := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			must(t, os.Symlink(target, path))
		} else {
			must(t, os.WriteFile(path, []byte(text), 0o644))
		}
	}
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { _ = root.Close() })
	return root
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"plain": {"etc/passwd": passwd, "etc/group": groups},
		"absolute links stay inside": {
			"etc/passwd": "-> /nix/passwd", "etc/group": "-> /nix/group", "nix/passwd": passwd, "nix/group": groups,
		},
		"links upwards stay inside": {
			"etc/passwd": "-> ../../../../nix/passwd", "etc/group": "-> ../nix/group", "nix/passwd": passwd, "nix/group": groups,
		},
		"linked directory": {"etc": "-> /usr/etc", "usr/etc/passwd": passwd, "usr/etc/group": groups},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := users.Read(image(t, files))
			must(t, err)
			got, err := users.Resolve(db, nil, "app")
			must(t, err)
			if got.UID != 1000 || got.Home != "/home/app" || !slices.Equal(got.AdditionalGIDs, []uint32{10, 29, 1001}) {
				t.Fatalf("got %+v", got)
			}
		})
	}
}

func TestReadMissing(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"nothing":        {},
		"etc is a file":  {"etc": "text"},
		"dangling link":  {"etc/passwd": "-> /nowhere"},
		"host's by link": {"etc/passwd": "-> /proc/self/root/etc/passwd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := users.Read(image(t, files))
			must(t, err)
			if _, err := users.Resolve(db, nil, "root"); !errdefs.IsInvalidArgument(err) {
				t.Fatalf("got %v, want that root is not known", err)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 10<<20+1)
	for name, make := range map[string]func(path string) error{
		"FIFO":      func(path string) error { return unix.Mkfifo(path, 0o644) },
		"directory": func(path string) error { return os.Mkdir(path, 0o755) },
		"too large": func(path string) error { return os.WriteFile(path, []byte(large), 0o644) },
	} {
		for _, file := range []string{"etc/passwd", "etc/group"} {
			t.Run(name+" "+file, func(t *testing.T) {
				t.Parallel()
				root := image(t, map[string]string{"etc/hosts": ""})
				must(t, make(filepath.Join(root.Name(), file)))
				if _, err := users.Read(root); !errdefs.IsInvalidArgument(err) {
					t.Fatalf("got %v, want ErrInvalidArgument", err)
				}
			})
		}
	}
}

func TestReadLoop(t *testing.T) {
	t.Parallel()
	root := image(t, map[string]string{"etc/passwd": "-> group", "etc/group": "-> passwd"})
	if _, err := users.Read(root); err == nil {
		t.Fatal("read a loop of links")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(passwd, groups, "app")
	f.Add("a:x:1:1", "a:x:1:a,,b", "a:a")
	f.Add("\x00:::", ":", "")
	root := image(f, map[string]string{"etc/hosts": ""})
	f.Fuzz(func(t *testing.T, passwd, groups, user string) {
		must(t, os.WriteFile(filepath.Join(root.Name(), "etc/passwd"), []byte(passwd), 0o644))
		must(t, os.WriteFile(filepath.Join(root.Name(), "etc/group"), []byte(groups), 0o644))
		db, err := users.Read(root)
		must(t, err)
		got, err := users.Resolve(db, nil, user)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if got.UID > users.MaxID || got.GID > users.MaxID {
			t.Fatalf("ids out of range: %+v", got)
		}
		if !slices.IsSorted(got.AdditionalGIDs) || !slices.Contains(got.AdditionalGIDs, got.GID) {
			t.Fatalf("groups are not sorted or lack the own one: %+v", got)
		}
		if got.Username != "" && !strings.Contains(passwd, got.Username+":") {
			t.Fatalf("name from nowhere: %+v", got)
		}
	})
}
