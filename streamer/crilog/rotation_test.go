package crilog_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trivet-cri/trivet/streamer/crilog"
)

// scene makes files in a new directory: "NAME=CONTENT" or "NAME>NAME" for a
// second name.
func scene(t *testing.T, files string) (path string) {
	t.Helper()
	dir := t.TempDir()
	for _, file := range strings.Fields(files) {
		var err error
		if name, content, ok := strings.Cut(file, "="); ok {
			err = os.WriteFile(filepath.Join(dir, name), []byte(content), 0o640)
		} else {
			name, of, _ := strings.Cut(file, ">")
			err = os.Link(filepath.Join(dir, of), filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "0.log")
}

// seen tells a scene, with T for the time in the names of rotated logs.
func seen(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(filepath.Dir(path), entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		name := entry.Name()
		if suffix, ok := strings.CutPrefix(name, "0.log.2"); ok && len(suffix) == len("0260102-150405.000000") {
			name = "0.log.T"
		}
		all = append(all, name+"="+string(content))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// TestMend finds each state that a kill, or a kubelet that takes a rotation
// back, can leave.
func TestMend(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after string
		second        bool
	}{
		"nothing":                            {before: "0.log=a", after: "0.log=a"},
		"next made":                          {before: "0.log=a .0.log.next=", after: "0.log=a"},
		"log has two names":                  {before: "0.log=a .0.log.next= .0.log.last>0.log", after: "0.log=a"},
		"replaced":                           {before: "0.log= .0.log.last=a", after: "0.log= 0.log.T=a"},
		"replaced and in use":                {before: "0.log=b .0.log.last=a", after: "0.log=b 0.log.T=a"},
		"stamped":                            {before: "0.log= 0.log.x=a .0.log.last>0.log.x", after: "0.log= 0.log.x=a"},
		"made again":                         {before: "0.log=b .0.log.next>0.log 0.log.x=a", after: ".0.log.next=b 0.log.x=a 0.log=b", second: true},
		"made again, taken back":             {before: "0.log=a .0.log.next=b", after: "0.log.T=a 0.log=b"},
		"made again, taken back, begun":      {before: "0.log=a .0.log.next=b .0.log.last>0.log", after: "0.log.T=a 0.log=b"},
		"made again, taken back, empty":      {before: "0.log=a .0.log.next=", after: "0.log=a"},
		"made again, deleted":                {before: ".0.log.next=b", after: "0.log=b"},
		"made again, rotated by the kubelet": {before: "0.log.y=b .0.log.next>0.log.y", after: ".0.log.next=b 0.log.y=b", second: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := scene(t, c.before)
			for range 2 { // mending again changes nothing
				second, err := crilog.Mend(path)
				if err != nil || second != c.second {
					t.Errorf("second name %t, %v", second, err)
				}
				want := strings.Fields(c.after)
				slices.Sort(want)
				if got := seen(t, path); got != strings.Join(want, " ") {
					t.Errorf("%s became %s, want %s", c.before, got, want)
				}
			}
		})
	}
}

func TestRotate(t *testing.T) {
	t.Parallel()
	path := scene(t, "0.log=a 0.log.20260102-150405.gz=z 0.log.20260102-150406=y 0.log.other=o 0.log.20260102-150407.tmp=t")
	for i := range 3 {
		current, err := crilog.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		next, err := crilog.Rotate(path, current.ID())
		if err != nil {
			t.Fatal(err)
		}
		if err := next.Append(fmt.Append(nil, i)); err != nil {
			t.Error(err)
		}
		for _, f := range []*crilog.File{current, next} {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	const others = " 0.log.20260102-150407.tmp=t"
	all := "0.log.20260102-150405.gz=z 0.log.20260102-150406=y" + others + " 0.log.T=0 0.log.T=1 0.log.T=a 0.log.other=o 0.log=2"
	if got := seen(t, path); got != all {
		t.Errorf("there are %s, want %s", got, all)
	}
	if err := crilog.Prune(path, 2); err != nil {
		t.Error(err)
	}
	if got, want := seen(t, path), "0.log.20260102-150407.tmp=t 0.log.T=0 0.log.T=1 0.log.other=o 0.log=2"; got != want {
		t.Errorf("after pruning there are %s, want %s", got, want)
	}
}

func TestRotateRefuses(t *testing.T) {
	t.Parallel()
	path := scene(t, "0.log=a other=b")
	other, err := crilog.Open(filepath.Join(filepath.Dir(path), "other"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if _, err := crilog.Rotate(path, other.ID()); !errors.Is(err, crilog.ErrMoved) {
		t.Errorf("another file was rotated: %v", err)
	}
	if got := seen(t, path); got != "0.log=a other=b" {
		t.Errorf("there are %s", got)
	}
}

func TestRenew(t *testing.T) {
	t.Parallel()
	path := scene(t, "0.log=a")
	for _, c := range []struct {
		name   string
		rename bool
		second bool
	}{{"there", false, false}, {"renamed", true, true}, {"there again", false, false}, {"renamed again", true, true}} {
		if c.rename {
			if err := os.Rename(path, path+"."+strings.ReplaceAll(c.name, " ", "-")); err != nil {
				t.Fatal(err)
			}
		}
		file, second, err := crilog.Renew(path)
		if err != nil || second != c.second {
			t.Fatalf("%s: second name %t, %v", c.name, second, err)
		}
		if err := file.Append([]byte("b")); err != nil {
			t.Error(err)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := crilog.Settle(path); err != nil {
		t.Error(err)
	}
	if got, want := seen(t, path), "0.log.renamed-again=bb 0.log.renamed=ab 0.log=b"; got != want {
		t.Errorf("there are %s, want %s", got, want)
	}
}
