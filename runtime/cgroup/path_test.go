package cgroup_test

import (
	"testing"

	"github.com/trivet-cri/trivet/runtime/cgroup"
)

func TestPath(t *testing.T) {
	t.Parallel()
	for cgroupsPath, want := range map[string]string{
		"":                                 "",
		"/kubepods/pod1/c1":                "/kubepods/pod1/c1",
		"system.slice:cri-trivet:c1":       "system.slice/cri-trivet-c1.scope",
		"kubepods-pod1.slice:cri-trivet:c": "kubepods.slice/kubepods-pod1.slice/cri-trivet-c.scope",
		"-.slice:cri-trivet:c1":            "cri-trivet-c1.scope",
		"a-b-c.slice:p:d":                  "a.slice/a-b.slice/a-b-c.slice/p-d.scope",
	} {
		if got := cgroup.Path(cgroupsPath); got != want {
			t.Errorf("path of %q is %q, want %q", cgroupsPath, got, want)
		}
	}
}

func TestParent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		parent  string
		systemd bool
		want    string
	}{
		{"", false, ""},
		{"", true, ""},
		{"/", false, ""},
		{"//", false, ""},
		{"/kubepods/pod1/", false, "/kubepods/pod1"},
		{"kubepods-pod1.slice", true, "kubepods.slice/kubepods-pod1.slice"},
		{"/kubepods.slice/kubepods-pod1.slice", true, "kubepods.slice/kubepods-pod1.slice"},
		{"-.slice", true, ""},
		{"system.slice", true, "system.slice"},
		{"kubepods-burstable.slice", true, "kubepods.slice/kubepods-burstable.slice"},
		{"kubepods-pod1_2.slice", true, "kubepods.slice/kubepods-pod1_2.slice"},
		{"machine-a.b\\x2d.slice", true, "machine.slice/machine-a.b\\x2d.slice"},
	} {
		if got := cgroup.Parent(test.parent, test.systemd); got != test.want {
			t.Errorf("parent of %q (systemd: %t) is %q, want %q", test.parent, test.systemd, got, test.want)
		}
	}
}
