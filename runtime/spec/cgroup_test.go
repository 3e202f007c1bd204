package spec_test

import (
	"path"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/runtime/spec"
)

func TestCgroupPath(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("c", 64)
	for _, test := range []struct {
		parent  string
		systemd bool
		want    string // "" for a refusal
	}{
		{"/kubepods/pod1", false, "/kubepods/pod1/" + id},
		{"/kubepods/pod1/", false, "/kubepods/pod1/" + id},
		{"/", false, "/" + id},
		{"", false, "/trivet/" + id},
		{"/a.slice", false, "/a.slice/" + id},
		{"kubepods/pod1", false, ""},
		{"/kubepods/../..", false, ""},
		{"..", false, ""},
		{"/a\nb", false, ""},
		{"/a\x00b", false, ""},
		{"/" + strings.Repeat("x", 256), false, ""},
		{"/kubepods.slice/kubepods-pod1.slice", true, "kubepods-pod1.slice:cri-trivet:" + id},
		{"kubepods-pod1.slice", true, "kubepods-pod1.slice:cri-trivet:" + id},
		{"kubepods-pod1.slice/", true, "kubepods-pod1.slice:cri-trivet:" + id},
		{"/-.slice", true, "-.slice:cri-trivet:" + id},
		{"", true, "system.slice:cri-trivet:" + id},
		{"/kubepods/pod1", true, ""},
		{"/kubepods/pod1.slice", true, ""},
		{"/", true, ""},
		{".slice", true, ""},
		{"a--b.slice", true, ""},
		{"-a.slice", true, ""},
		{"a-.slice", true, ""},
		{"a:b.slice", true, ""},
		{"/a.slice/../b.slice", true, ""},
		{"a b.slice", true, ""},
	} {
		in := plain()
		in.Pod.Linux.CgroupParent, in.Systemd = test.parent, test.systemd
		if test.want == "" {
			refused(t, in, wrong, "linux.cgroup_parent")
			continue
		}
		if got := build(t, in).Linux.CgroupsPath; got != test.want {
			t.Errorf("%q (systemd %v): got %q, want %q", test.parent, test.systemd, got, test.want)
		}
	}
}

// FuzzCheckCgroupParent holds that what passes makes a cgroup path that stays
// below its parent, or three fields of which the second and third are ours.
func FuzzCheckCgroupParent(f *testing.F) {
	for _, parent := range []string{"", "/kubepods/pod1", "/kubepods.slice/kubepods-pod1.slice", "../x", "a:b.slice", "/a/./b//c"} {
		f.Add(parent, true)
		f.Add(parent, false)
	}
	f.Fuzz(func(t *testing.T, parent string, systemd bool) {
		err := spec.CheckCgroupParent(parent, systemd)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		in := plain()
		in.Pod.Linux.CgroupParent, in.Systemd = parent, systemd
		got := build(t, in).Linux.CgroupsPath
		if systemd {
			parts := strings.Split(got, ":")
			if len(parts) != 3 || !strings.HasSuffix(parts[0], ".slice") || strings.Contains(parts[0], "/") || parts[2] != in.ID {
				t.Fatalf("%q makes %q", parent, got)
			}
			return
		}
		if !path.IsAbs(got) || path.Base(got) != in.ID || strings.Contains(got, "..") && !strings.Contains(parent, "..") {
			t.Fatalf("%q makes %q", parent, got)
		}
		if parent != "" && path.Clean(parent) != path.Dir(got) {
			t.Fatalf("%q makes %q", parent, got)
		}
		for element := range strings.SplitSeq(parent, "/") {
			if element == ".." {
				t.Fatalf("%q passes", parent)
			}
		}
	})
}
