package spec_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	crierrors "k8s.io/cri-api/pkg/errors"

	"github.com/trivet-cri/trivet/runtime/spec"
)

const (
	private       = runtimeapi.MountPropagation_PROPAGATION_PRIVATE
	fromHost      = runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER
	bidirectional = runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL
)

func TestMountOptions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		mount  *runtimeapi.Mount
		want   []string
		rootfs string
	}{
		"plain":     {&runtimeapi.Mount{}, []string{"rbind", "rprivate", "rw"}, ""},
		"read-only": {&runtimeapi.Mount{Readonly: true}, []string{"rbind", "rprivate", "ro"}, ""},
		"recursive": {&runtimeapi.Mount{Readonly: true, RecursiveReadOnly: true}, []string{"rbind", "rprivate", "rro"}, ""},
		"image":     {&runtimeapi.Mount{Image: &runtimeapi.ImageSpec{Image: "x"}}, []string{"rbind", "rprivate", "ro"}, ""},
		"slave":     {&runtimeapi.Mount{HostPath: "/slave", Propagation: fromHost}, []string{"rbind", "rslave", "rw"}, "rslave"},
		"slave of a shared one": {
			&runtimeapi.Mount{HostPath: "/shared", Propagation: fromHost}, []string{"rbind", "rslave", "rw"}, "rslave",
		},
		"shared": {&runtimeapi.Mount{HostPath: "/shared", Propagation: bidirectional}, []string{"rbind", "rshared", "rw"}, "rshared"},
		"options": {
			&runtimeapi.Mount{MountOptions: []string{"nosuid", "nodev", "noexec", "nodev"}},
			[]string{"rbind", "rprivate", "rw", "nodev", "noexec", "nosuid"},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			m := test.mount
			m.ContainerPath = "/data"
			if m.HostPath == "" {
				m.HostPath = "/host"
			}
			in.Config.Mounts = []*runtimeapi.Mount{m}
			s := build(t, in)
			got, _ := mountAt(t, s, "/data")
			if got.Type != "bind" || got.Source != m.HostPath || !slices.Equal(got.Options, test.want) {
				t.Errorf("got %+v, want options %v", got, test.want)
			}
			if s.Linux.RootfsPropagation != test.rootfs {
				t.Errorf("root propagation is %q, want %q", s.Linux.RootfsPropagation, test.rootfs)
			}
		})
	}
}

func TestMountRefused(t *testing.T) {
	t.Parallel()
	ids := []*runtimeapi.IDMapping{{HostId: 1, Length: 1}}
	for name, test := range map[string]struct {
		mount *runtimeapi.Mount
		kind  error
		say   string
	}{
		"relative target":  {&runtimeapi.Mount{ContainerPath: "data", HostPath: "/h"}, wrong, `mounts[0].container_path "data"`},
		"no target":        {&runtimeapi.Mount{HostPath: "/h"}, wrong, `mounts[0].container_path ""`},
		"relative source":  {&runtimeapi.Mount{ContainerPath: "/data", HostPath: "h"}, wrong, `mounts[0].host_path "h"`},
		"image not ready":  {&runtimeapi.Mount{ContainerPath: "/data", Image: &runtimeapi.ImageSpec{Image: "x"}}, wrong, "mounts[0].host_path"},
		"unknown option":   {&runtimeapi.Mount{ContainerPath: "/data", HostPath: "/h", MountOptions: []string{"nodev", "dev"}}, wrong, `mounts[0].mount_options[1] "dev"`},
		"injected option":  {&runtimeapi.Mount{ContainerPath: "/data", HostPath: "/h", MountOptions: []string{"nodev,rw"}}, wrong, `"nodev,rw"`},
		"private is slave": {&runtimeapi.Mount{ContainerPath: "/data", HostPath: "/private", Propagation: fromHost}, lacks, `is on mount "/"`},
		"slave is shared":  {&runtimeapi.Mount{ContainerPath: "/data", HostPath: "/slave", Propagation: bidirectional}, lacks, "which is not shared"},
		"unknown":          {&runtimeapi.Mount{ContainerPath: "/data", HostPath: "/h", Propagation: 9}, wrong, "mounts[0].propagation 9 is unknown"},
		"recursive rw":     {&runtimeapi.Mount{ContainerPath: "/data", HostPath: "/h", RecursiveReadOnly: true}, wrong, "recursive_read_only"},
		"recursive slave":  {&runtimeapi.Mount{ContainerPath: "/data", HostPath: "/slave", Propagation: fromHost, Readonly: true, RecursiveReadOnly: true}, wrong, "recursive_read_only"},
		"uids alone":       {&runtimeapi.Mount{ContainerPath: "/data", HostPath: "/h", UidMappings: ids}, wrong, "must be given together"},
		"gids alone":       {&runtimeapi.Mount{ContainerPath: "/data", HostPath: "/h", GidMappings: ids}, wrong, "must be given together"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			in.Config.Mounts = []*runtimeapi.Mount{test.mount}
			refused(t, in, test.kind, test.say)
		})
	}
	in := plain()
	in.Host.RecursiveReadOnly = false
	in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/data", HostPath: "/h", Readonly: true, RecursiveReadOnly: true}}
	refused(t, in, lacks, "mounts[0].recursive_read_only")
	in.Host.RecursiveReadOnly, in.Features.RecursiveReadOnly, in.HandlerName = true, false, "old"
	refused(t, in, lacks, `runtime handler "old" does not support recursive read-only mounts`)
	if _, err := spec.Build(in); !errors.Is(err, crierrors.ErrRROUnsupported) {
		t.Fatalf("got %v, want the CRI's own error", err)
	}
	shifted := []*runtimeapi.IDMapping{{HostId: 100000, Length: 65536}}
	in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/data", HostPath: "/h", UidMappings: shifted, GidMappings: shifted}}
	in.Features.IDMappedMounts = false
	refused(t, in, lacks, `runtime handler "old" does not support idmapped mounts`)
}

func TestMountIDMappings(t *testing.T) {
	t.Parallel()
	in := plain()
	in.Config.Mounts = []*runtimeapi.Mount{{
		ContainerPath: "/data", HostPath: "/h",
		UidMappings: []*runtimeapi.IDMapping{{HostId: 10, ContainerId: 1, Length: 2}},
		GidMappings: []*runtimeapi.IDMapping{{HostId: 20, ContainerId: 3, Length: 4}},
	}}
	m, _ := mountAt(t, build(t, in), "/data")
	if !slices.Equal(m.UIDMappings, []specs.LinuxIDMapping{{HostID: 10, ContainerID: 1, Size: 2}}) ||
		!slices.Equal(m.GIDMappings, []specs.LinuxIDMapping{{HostID: 20, ContainerID: 3, Size: 4}}) {
		t.Fatalf("got %+v", m)
	}
}

// TestWidestPropagation has a slave after a shared mount: the root stays shared.
func TestWidestPropagation(t *testing.T) {
	t.Parallel()
	in := plain()
	in.Config.Mounts = []*runtimeapi.Mount{
		{ContainerPath: "/a", HostPath: "/shared", Propagation: bidirectional},
		{ContainerPath: "/b", HostPath: "/slave", Propagation: fromHost},
		{ContainerPath: "/c", HostPath: "/private", Propagation: private},
	}
	if got := build(t, in).Linux.RootfsPropagation; got != "rshared" {
		t.Fatalf("got %q", got)
	}
}

func TestMountsReplaceDefaults(t *testing.T) {
	t.Parallel()
	in := plain()
	in.Volumes = []spec.Volume{{HostPath: "/v1", ContainerPath: "/data/"}, {HostPath: "/v2", ContainerPath: "relative"}}
	in.Config.Mounts = []*runtimeapi.Mount{
		{ContainerPath: "/data", HostPath: "/h/data"},
		{ContainerPath: "/etc/resolv.conf/", HostPath: "/h/resolv"},
		{ContainerPath: "/sys", HostPath: "/h/sys"},
		{ContainerPath: "/dev", HostPath: "/h/dev"},
	}
	in.Files.Shm = ""
	s := build(t, in)
	for destination, source := range map[string]string{
		"/data": "/h/data", "/relative": "/v2", "/etc/resolv.conf/": "/h/resolv", "/sys": "/h/sys", "/dev": "/h/dev",
		"/etc/hosts": in.Files.Hosts, "/proc": "proc", "/sys/fs/cgroup": "cgroup",
	} {
		if m, _ := mountAt(t, s, destination); m.Source != source {
			t.Errorf("%s is %+v, want %s", destination, m, source)
		}
	}
	for _, destination := range []string{"/data/", "/etc/resolv.conf", "/dev/pts", "/dev/mqueue", "/dev/shm"} {
		if m, ok := mountAt(t, s, destination); ok {
			t.Errorf("%s is %+v, want none", destination, m)
		}
	}
}

func TestMountOrder(t *testing.T) {
	t.Parallel()
	in := plain()
	in.Files = spec.Files{}
	for _, target := range []string{"/a/b/c", "/z", "/a/b", "/a", "/y//", "/a/b/./d"} {
		in.Config.Mounts = append(in.Config.Mounts, &runtimeapi.Mount{ContainerPath: target, HostPath: "/h"})
	}
	var got []string
	for _, m := range build(t, in).Mounts {
		if m.Source == "/h" {
			got = append(got, m.Destination)
		}
	}
	if want := []string{"/z", "/a", "/y//", "/a/b", "/a/b/c", "/a/b/./d"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestPodFiles(t *testing.T) {
	t.Parallel()
	in := plain()
	security(&in).ReadonlyRootfs = true
	s := build(t, in)
	for destination, access := range map[string]string{"/etc/hosts": "ro", "/etc/hostname": "ro", "/etc/resolv.conf": "ro", "/dev/shm": "rw"} {
		if m, _ := mountAt(t, s, destination); !slices.Contains(m.Options, access) {
			t.Errorf("%s is %+v, want %s", destination, m, access)
		}
	}
	if !s.Root.Readonly {
		t.Error("root is writable")
	}
	in.Files = spec.Files{}
	s = build(t, in)
	if _, ok := mountAt(t, s, "/etc/hosts"); ok {
		t.Error("/etc/hosts without a file")
	}
	if m, _ := mountAt(t, s, "/dev/shm"); m.Type != "tmpfs" {
		t.Errorf("/dev/shm is %+v", m)
	}
}
