package spec_test

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/trivet-cri/trivet/runtime/spec"
)

// TestBuiltIn compares with containerd's default, so that a new version of
// it cannot differ unnoticed.
func TestBuiltIn(t *testing.T) {
	t.Parallel()
	ctx := namespaces.WithNamespace(context.Background(), "test")
	want, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: "x"}, oci.WithoutRunMount)
	if err != nil {
		t.Fatal(err)
	}
	in := plain()
	in.Files, in.Config.Linux.Resources = spec.Files{}, nil
	got := build(t, in)
	got.Mounts = slices.DeleteFunc(got.Mounts, func(m specs.Mount) bool { return m.Destination == "/sys/fs/cgroup" })
	if !reflect.DeepEqual(got.Mounts, want.Mounts) {
		t.Errorf("mounts: got  %+v\nwant %+v", got.Mounts, want.Mounts)
	}
	if !reflect.DeepEqual(got.Process.Capabilities, want.Process.Capabilities) {
		t.Errorf("capabilities: got  %+v\nwant %+v", got.Process.Capabilities, want.Process.Capabilities)
	}
	if !reflect.DeepEqual(got.Linux.Resources, want.Linux.Resources) {
		t.Errorf("resources: got  %+v\nwant %+v", got.Linux.Resources, want.Linux.Resources)
	}
	for i := range got.Linux.Namespaces {
		got.Linux.Namespaces[i].Path = ""
	}
	if !reflect.DeepEqual(got.Linux.Namespaces, want.Linux.Namespaces) {
		t.Errorf("namespaces: got  %+v\nwant %+v", got.Linux.Namespaces, want.Linux.Namespaces)
	}
	if got.Version != "1.0.2" { // which crun before 1.9 insists on
		t.Errorf("version: got %s", got.Version)
	}
}

func TestBase(t *testing.T) {
	t.Parallel()
	limit := int64(100)
	base := &specs.Spec{
		Version: "1.2.0",
		Process: &specs.Process{
			Args: []string{"base"}, NoNewPrivileges: true,
			Rlimits:         []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 9, Soft: 9}},
			ApparmorProfile: "base-profile",
			Capabilities:    &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}, Ambient: []string{"CAP_KILL"}, Inheritable: []string{"CAP_KILL", "CAP_CHOWN"}},
		},
		Root:        &specs.Root{Path: "/elsewhere", Readonly: true},
		Mounts:      []specs.Mount{{Destination: "/run", Type: "tmpfs"}, {Destination: "/sys/fs/cgroup", Type: "cgroup", Options: []string{"rw"}}},
		Annotations: map[string]string{"keep": "me", "io.containerd.runc.v2.group": "g", "io.kubernetes.cri.sandbox-id": "s"},
		Linux: &specs.Linux{
			Seccomp:   &specs.LinuxSeccomp{DefaultAction: specs.ActLog},
			Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}},
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.TimeNamespace}, {Type: specs.MountNamespace}, {Type: specs.PIDNamespace, Path: "/old"},
			},
			CgroupsPath: "/old",
		},
		Hooks: &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/hook"}}},
	}
	in := plain()
	in.Base, in.Host.AppArmor = base, false
	s := build(t, in)
	if s.Version != "1.2.0" || len(s.Process.Rlimits) != 1 || s.Process.ApparmorProfile != "base-profile" ||
		s.Linux.Seccomp == nil || *s.Linux.Resources.Pids.Limit != 100 || s.Hooks == nil || !s.Root.Readonly || s.Annotations["keep"] != "me" {
		t.Errorf("the base's settings are not kept: %+v", s)
	}
	if s.Root.Path != "rootfs" || s.Process.Args[0] == "base" || s.Process.NoNewPrivileges || s.Linux.CgroupsPath == "/old" {
		t.Errorf("the base's settings win over the request: %+v", s)
	}
	for _, key := range []string{"io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"} {
		if _, ok := s.Annotations[key]; ok {
			t.Errorf("annotation %s is kept", key)
		}
	}
	want := []specs.LinuxNamespace{
		{Type: specs.TimeNamespace},
		{Type: specs.MountNamespace},
		{Type: specs.PIDNamespace},
		{Type: specs.NetworkNamespace, Path: in.Namespaces.Network},
		{Type: specs.IPCNamespace, Path: in.Namespaces.IPC},
		{Type: specs.UTSNamespace, Path: in.Namespaces.UTS},
	}
	for _, ns := range want {
		if !slices.Contains(s.Linux.Namespaces, ns) || len(s.Linux.Namespaces) != len(want) {
			t.Errorf("namespaces are %+v", s.Linux.Namespaces)
		}
	}
	c := s.Process.Capabilities
	if !slices.Equal(c.Bounding, []string{"CAP_KILL"}) || c.Ambient != nil || !slices.Equal(c.Inheritable, []string{"CAP_KILL"}) {
		t.Errorf("capabilities are %+v", c)
	}
	if _, ok := mountAt(t, s, "/run"); ok {
		t.Error("/run is kept")
	}
	if m, _ := mountAt(t, s, "/sys/fs/cgroup"); !slices.Equal(m.Options, []string{"rw"}) {
		t.Errorf("cgroup mount is %+v", m)
	}
	if base.Linux.CgroupsPath != "/old" || len(base.Mounts) != 2 || base.Linux.Namespaces[2].Path != "/old" || len(base.Annotations) != 3 {
		t.Error("the base itself has changed")
	}
}

func TestEmptyBase(t *testing.T) {
	t.Parallel()
	in := plain()
	in.Base = &specs.Spec{}
	privilege(&in)
	if s := build(t, in); s.Process.Cwd != "/srv" || s.Linux.Resources == nil || len(s.Process.Capabilities.Bounding) == 0 {
		t.Errorf("got %+v", s)
	}
}
