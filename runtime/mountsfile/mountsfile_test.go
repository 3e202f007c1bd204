package mountsfile_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/runtime/mountsfile"
)

func read(t testing.TB, text string) (string, []mountsfile.Mount, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mounts.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	mounts, err := mountsfile.Read(file)
	return file, mounts, err
}

func TestRead(t *testing.T) {
	t.Parallel()
	_, got, err := read(t, "# subscriptions\n\n /usr/share/rhel/secrets:/run/secrets \r\n/etc/pki/\n/a//b:/c:d\n#/x:/y")
	want := []mountsfile.Mount{{"/usr/share/rhel/secrets", "/run/secrets"}, {"/etc/pki", "/etc/pki"}, {"/a/b", "/c:d"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for text, why := range map[string]string{
		"\nsecrets:/run/secrets":            `2: "secrets:/run/secrets" is not SOURCE:TARGET, two absolute paths`,
		"/a:":                               `1: "/a:" is not SOURCE:TARGET, two absolute paths`,
		"/a:b":                              `1: "/a:b" is not SOURCE:TARGET, two absolute paths`,
		"/a:/b/..":                          `1: "/a:/b/.." is not SOURCE:TARGET, two absolute paths`,
		"/a\x00:/b":                         `1: "/a\x00:/b" is not SOURCE:TARGET, two absolute paths`,
		"/a:/run/secrets\n/b:/run/secrets/": `2: "/b:/run/secrets/": /run/secrets is there twice`,
	} {
		if file, got, err := read(t, text); err == nil || err.Error() != file+":"+why || got != nil {
			t.Errorf("%q: got %v, %v, want %s", text, got, err, why)
		}
	}
	if _, err := mountsfile.Read(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// tree makes files, directories and links: name to content, "/" or "-> target".
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch target, link := strings.CutPrefix(content, "-> "); {
		case link:
			err = errors.Join(err, os.Symlink(target, path))
		case content == "/":
			err = errors.Join(err, os.MkdirAll(path, 0o755))
		default:
			err = errors.Join(err, os.WriteFile(path, []byte(content), 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestCopy(t *testing.T) {
	t.Parallel()
	elsewhere := tree(t, map[string]string{"ca.pem": "key", "deep/x": "x"})
	root := tree(t, map[string]string{
		"etc/secret": "secret", "etc/empty": "/", "etc/pki": "-> " + elsewhere, "etc/file": "-> " + elsewhere + "/ca.pem", "etc/gone": "-> /trivet/none",
	})
	if err := errors.Join(os.Chmod(root+"/etc/secret", 0o666), os.Chmod(root+"/etc/empty", 0o777)); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), "copy")
	if err := (mountsfile.Mount{Source: root + "/etc"}).Copy(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := filepath.WalkDir(at, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		got = append(got, fmt.Sprintf("%s %s", strings.TrimPrefix(path, at), info.Mode()))
		return err
	})
	want := []string{
		" drwxr-xr-x", "/empty drwxrwxrwx", "/file -rw-------", "/pki drwxr-xr-x", "/pki/ca.pem -rw-------",
		"/pki/deep drwxr-xr-x", "/pki/deep/x -rw-------", "/secret -rw-rw-rw-",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if text, err := os.ReadFile(at + "/pki/ca.pem"); err != nil || string(text) != "key" {
		t.Errorf("a copied file has %q, %v", text, err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := (mountsfile.Mount{Source: root + "/etc/secret"}).Copy(t.Context(), file); err != nil {
		t.Errorf("a single file: %v", err)
	}
}

func TestCopyRefuses(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"circle/me": "-> .", "fifo/": "/"})
	if err := unix.Mkfifo(root+"/fifo/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{"circle": "", "fifo": "pipe\" is no file and no directory", "none": "no such file"} {
		err := (mountsfile.Mount{Source: filepath.Join(root, source)}).Copy(t.Context(), filepath.Join(t.TempDir(), "copy"))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), root) {
			t.Errorf("%s: got %v, want %q", source, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (mountsfile.Mount{Source: "/etc"}).Copy(ctx, filepath.Join(t.TempDir(), "copy")); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestExists(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"file": "x"})
	for name, want := range map[string]bool{"file": true, "none": false, "": true} {
		if got, err := (mountsfile.Mount{Source: filepath.Join(root, name)}).Exists(); err != nil || got != want {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	if _, err := (mountsfile.Mount{Source: root + "/file/below"}).Exists(); err == nil {
		t.Error("no error for a file that is taken for a directory")
	}
}

// What is accepted is made of absolute paths, one a target.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"", "/a:/b\n", "#\n/a", ":", "/:/", "/a:/b\n/c:/b", "\x00", "/a:b:c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, mounts, err := read(t, text)
		if err != nil {
			return
		}
		targets := make(map[string]bool)
		for _, m := range mounts {
			if !filepath.IsAbs(m.Source) || !filepath.IsAbs(m.Target) || m.Target == "/" || targets[m.Target] {
				t.Errorf("%q became %+v", text, mounts)
			}
			targets[m.Target] = true
		}
	})
}
