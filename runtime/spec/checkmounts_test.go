package spec_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/spec"
)

// ids is one mapping.
func ids(host, container, length uint32) *runtimeapi.IDMapping {
	return &runtimeapi.IDMapping{HostId: host, ContainerId: container, Length: length}
}

// mapped is a mount with the same mappings of uids and gids.
func mapped(ranges ...*runtimeapi.IDMapping) *runtimeapi.Mount {
	return &runtimeapi.Mount{HostPath: "/h", ContainerPath: "/c", UidMappings: ranges, GidMappings: ranges}
}

func TestCheckMounts(t *testing.T) {
	t.Parallel()
	image := &runtimeapi.ImageSpec{Image: "x"}
	many := make([]*runtimeapi.IDMapping, 341)
	for i := range many {
		many[i] = ids(uint32(i), uint32(i), 1)
	}
	for name, test := range map[string]struct {
		mount *runtimeapi.Mount
		says  string // empty if it is right
	}{
		"path":              {&runtimeapi.Mount{HostPath: "/h", ContainerPath: "/c/../../d"}, ""},
		"image":             {&runtimeapi.Mount{Image: image, ImageSubPath: "a", ContainerPath: "/c"}, ""},
		"recursive image":   {&runtimeapi.Mount{Image: image, ContainerPath: "/c", RecursiveReadOnly: true}, ""},
		"no source":         {&runtimeapi.Mount{ContainerPath: "/c"}, `mounts[0].host_path "" is not absolute`},
		"both":              {&runtimeapi.Mount{Image: image, HostPath: "/h", ContainerPath: "/c"}, `mounts[0].host_path "/h" does not go with an image`},
		"nameless image":    {&runtimeapi.Mount{Image: &runtimeapi.ImageSpec{}, ContainerPath: "/c"}, `mounts[0].image.image "" is empty`},
		"sub path of none":  {&runtimeapi.Mount{HostPath: "/h", ImageSubPath: "a", ContainerPath: "/c"}, `mounts[0].image_sub_path "a" needs an image`},
		"zero in sub path":  {&runtimeapi.Mount{Image: image, ImageSubPath: "a\x00", ContainerPath: "/c"}, "mounts[0].image_sub_path"},
		"relative target":   {&runtimeapi.Mount{Image: image, ContainerPath: "c"}, `mounts[0].container_path "c" is not absolute`},
		"root":              {&runtimeapi.Mount{HostPath: "/h", ContainerPath: "/c/.."}, `mounts[0].container_path "/c/.." would hide`},
		"zero in target":    {&runtimeapi.Mount{HostPath: "/h", ContainerPath: "/c\x00d"}, `mounts[0].container_path "/c\x00d"`},
		"zero in source":    {&runtimeapi.Mount{HostPath: "/h\x00", ContainerPath: "/c"}, `mounts[0].host_path "/h\x00"`},
		"propagation":       {&runtimeapi.Mount{HostPath: "/h", ContainerPath: "/c", Propagation: 3}, "mounts[0].propagation 3 is unknown"},
		"writable rro":      {&runtimeapi.Mount{HostPath: "/h", ContainerPath: "/c", RecursiveReadOnly: true}, "mounts[0].recursive_read_only true"},
		"image, shared rro": {&runtimeapi.Mount{Image: image, ContainerPath: "/c", RecursiveReadOnly: true, Propagation: bidirectional}, "mounts[0].recursive_read_only true"},
		"option":            {&runtimeapi.Mount{Image: image, ContainerPath: "/c", MountOptions: []string{"nodev", "suid"}}, `mounts[0].mount_options[1] "suid"`},
		"mapping":           {mapped(ids(10, 0, 5), ids(20, 5, 5), ids(0, 10, 10)), ""},
		"highest id":        {mapped(ids(math.MaxUint32-1, math.MaxUint32-1, 1)), ""},
		"nothing mapped":    {mapped(ids(10, 0, 5), ids(0, 0, 0)), "mounts[0].uidMappings[1].length 0"},
		"host id too high":  {mapped(ids(math.MaxUint32, 0, 1)), "mounts[0].uidMappings[0].host_id 4294967295"},
		"id too high":       {mapped(ids(0, 4294967000, 500)), "mounts[0].uidMappings[0].container_id 4294967000"},
		"host overlap":      {mapped(ids(10, 0, 5), ids(14, 5, 5)), "mounts[0].uidMappings[1].host_id 14 with length 5 overlaps"},
		"container overlap": {mapped(ids(10, 4, 5), ids(30, 0, 5)), "mounts[0].uidMappings[1].container_id 0 with length 5 overlaps"},
		"too many":          {mapped(many...), "mounts[0].uidMappings 341"},
		"gids": {
			&runtimeapi.Mount{HostPath: "/h", ContainerPath: "/c", UidMappings: []*runtimeapi.IDMapping{ids(0, 0, 1)}, GidMappings: []*runtimeapi.IDMapping{ids(0, 0, 0)}},
			"mounts[0].gidMappings[0].length 0",
		},
		"uids alone": {&runtimeapi.Mount{HostPath: "/h", ContainerPath: "/c", UidMappings: []*runtimeapi.IDMapping{ids(0, 0, 1)}}, "must be given together"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := spec.CheckMounts([]*runtimeapi.Mount{test.mount}, &runtimeapi.PodSandboxConfig{})
			if test.says == "" && err != nil {
				t.Errorf("got %v", err)
			}
			if test.says != "" && (!errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("got %v, want InvalidArgument with %s", err, test.says)
			}
		})
	}
}

// TestMappingsOfAnother user namespace than the pod's are refused, by Build too.
func TestMappingsOfAnother(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		mount *runtimeapi.Mount
		says  string
	}{
		"the pod's": {mapped(ids(655360, 0, 65536)), ""},
		"none":      {mapped(), ""},
		"shorter":   {mapped(ids(655360, 0, 65535)), "mounts[0].uidMappings"},
		"elsewhere": {mapped(ids(655361, 0, 65536)), "mounts[0].uidMappings"},
		"other gids": {
			&runtimeapi.Mount{HostPath: "/h", ContainerPath: "/c", UidMappings: []*runtimeapi.IDMapping{ids(655360, 0, 65536)}, GidMappings: []*runtimeapi.IDMapping{ids(0, 0, 1)}},
			"mounts[0].gidMappings",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			userns(&in)
			in.Config.Mounts = []*runtimeapi.Mount{test.mount}
			if test.says == "" {
				build(t, in)
				return
			}
			refused(t, in, wrong, test.says)
		})
	}
}

// TestMountsInPlaceOfOurs: what is requested comes after the defaults above
// it, in the order of depth, and of two at one place the later is seen.
func TestMountsInPlaceOfOurs(t *testing.T) {
	t.Parallel()
	in := plain()
	for i, target := range []string{"/proc/sys/x", "/sys/fs/cgroup/../../kernel", "/etc/hosts", "/dev/shm", "/dup", "/dup", "/etc", "/dev/fuse", "/a/../etc/hostname"} {
		in.Config.Mounts = append(in.Config.Mounts, &runtimeapi.Mount{ContainerPath: target, HostPath: "/h/" + string(rune('0'+i))})
	}
	s := build(t, in)
	at := func(destination, source string) int {
		return slices.IndexFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == destination && (source == "" || m.Source == source) })
	}
	for _, order := range [][2]int{
		{at("/proc", ""), at("/proc/sys/x", "")},
		{at("/sys", ""), at("/sys/fs/cgroup/../../kernel", "")},
		{at("/dev", ""), at("/dev/shm", "/h/3")},
		{at("/dev", ""), at("/dev/fuse", "")},
		{at("/etc", "/h/6"), at("/etc/hosts", "/h/2")},
		{at("/etc", "/h/6"), at("/a/../etc/hostname", "/h/8")},
		{at("/etc", "/h/6"), at("/etc/resolv.conf", in.Files.ResolvConf)},
		{at("/dup", "/h/4"), at("/dup", "/h/5")},
	} {
		if order[0] < 0 || order[0] >= order[1] {
			t.Errorf("mounts %d and %d are in the wrong order: %+v", order[0], order[1], s.Mounts)
		}
	}
	for _, gone := range [][2]string{{"/etc/hosts", in.Files.Hosts}, {"/etc/hostname", in.Files.Hostname}, {"/dev/shm", in.Files.Shm}} {
		if at(gone[0], gone[1]) >= 0 {
			t.Errorf("%s is there beside the requested one", gone[0])
		}
	}
}
