package imagevolume_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/runtime/imagevolume"
)

// tree is the root of an image, beside a directory that is not in it.
func tree(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "root")
	for _, path := range []string{"root/a/b", "root/with space", "outside"} {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"inside": "a/b", "a/up": "../with space", "out": "../outside", "a/far": "../../../../../../../../etc",
		"back": "../root/a", "absolute": "/etc", "loop": "loop2", "loop2": "loop", "self": "self/x", "dangling": "none",
		"proc": "/proc/self/root",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestSubPath(t *testing.T) {
	t.Parallel()
	root := tree(t)
	for sub, want := range map[string]string{
		"a": "a", "a/b": "a/b", "a//b/": "a/b", "./a/../a": "a", ".": "", "inside": "a/b", "a/up": "with space", "a/b/../up": "with space",
	} {
		got, err := imagevolume.SubPath(root, sub)
		if err != nil || got != filepath.Join(root, want) {
			t.Errorf("%q is %q, %v; want %q", sub, got, err, want)
		}
	}
	for sub, says := range map[string]string{
		"none": "no such file", "a/none/c": "no such file", "dangling": "no such file", "file": "no directory", "file/x": "not a directory",
		"/a": "leads out", "..": "leads out", "../outside": "leads out", "a/../../outside": "leads out", "": "leads out",
		"out": "escapes", "a/far": "escapes", "back": "escapes", "absolute": "escapes", "absolute/ssl": "escapes", "proc/etc": "escapes",
		"loop": "too many", "loop/x": "too many", "self": "too many", "a\x00b": "invalid argument",
		strings.Repeat("n", 300): "too long", strings.Repeat("a/", 3000): "",
	} {
		got, err := imagevolume.SubPath(root, sub)
		if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40q is %q, %v; want an error that says %q", sub, got, err, says)
		}
	}
}

// FuzzSubPath: whatever the client asks for, it is in the image or an error.
func FuzzSubPath(f *testing.F) {
	root := tree(f)
	for _, sub := range []string{"a", "a/up", "out/../a", "loop", "inside/../../..", "a/far/passwd", "proc/root", "\x00"} {
		f.Add(sub)
	}
	f.Fuzz(func(t *testing.T, sub string) {
		got, err := imagevolume.SubPath(root, sub)
		if err != nil {
			return
		}
		resolved, err := filepath.EvalSymlinks(got)
		if err != nil || resolved != got || got != root && !strings.HasPrefix(got, root+"/") {
			t.Errorf("%q is %q, which is %q, %v", sub, got, resolved, err)
		}
	})
}
