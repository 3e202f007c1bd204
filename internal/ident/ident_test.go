package ident_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/ident"
)

func TestNewIsValidAndNew(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 1000 {
		id := ident.New()
		if err := ident.Check("id", id); err != nil || len(id) != ident.Length || seen[id] {
			t.Fatalf("id %q: %v, seen before: %t", id, err, seen[id])
		}
		seen[id] = true
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"a":                     "",
		"0123456789abcdef":      "",
		strings.Repeat("f", 64): "",
		"":                      "pod id is empty: invalid argument",
		strings.Repeat("f", 65): "is longer than 64 characters: invalid argument",
		"ABC":                   `pod id "ABC" is not hexadecimal: invalid argument`,
		"g":                     "is not hexadecimal",
		"/":                     "is not hexadecimal", // before 0
		":":                     "is not hexadecimal", // after 9
		"`":                     "is not hexadecimal", // before a
		"..":                    "is not hexadecimal",
		"../../etc":             "is not hexadecimal",
		"a/b":                   "is not hexadecimal",
		"a\x00":                 `pod id "a\x00" is not hexadecimal`,
		"a\n":                   "is not hexadecimal",
		"-a":                    "is not hexadecimal",
		"é":                     "is not hexadecimal",
	} {
		err := ident.Check("pod id", id)
		if want == "" && err == nil {
			continue
		}
		if want == "" || !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want %q", id, err, want)
		}
	}
}

// What passes is one path element that means itself, and a message about
// what does not is short and on one line.
func FuzzCheck(f *testing.F) {
	valid := regexp.MustCompile(`^[0-9a-f]{1,64}$`)
	for _, seed := range []string{"", "a", "..", "a/b", "\x00", "abc\n", strings.Repeat("0", 64), strings.Repeat("x", 1<<16)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		err := ident.Check("id", id)
		if (err == nil) != (valid.MatchString(id) && !strings.HasSuffix(id, "\n")) {
			t.Errorf("%q: %v", id, err)
		}
		if err == nil && filepath.Join("/d", id) != "/d/"+id {
			t.Errorf("%q is no path element", id)
		}
		if err != nil && (len(err.Error()) > 1000 || strings.Contains(err.Error(), "\n") || !errors.Is(err, errdefs.ErrInvalidArgument)) {
			t.Errorf("message %q", err)
		}
	})
}

func TestInDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"b1", "a0", "x", "lost+found", ".a1"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if ids, err := ident.InDir(dir); err != nil || !slices.Equal(ids, []string{"a0", "b1"}) {
		t.Errorf("got %q, %v", ids, err)
	}
	if _, err := ident.InDir(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
}
