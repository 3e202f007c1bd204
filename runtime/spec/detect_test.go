package spec_test

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/trivet-cri/trivet/runtime/spec"
)

func TestDetect(t *testing.T) {
	t.Parallel()
	host, err := spec.Detect()
	if err != nil {
		t.Fatal(err)
	}
	name, err := os.Hostname()
	if err != nil || host.Hostname != name {
		t.Errorf("hostname is %q, want %q, %v", host.Hostname, name, err)
	}
	if !slices.Contains(host.MaskedPaths, "/proc/kcore") || !slices.Contains(host.ReadonlyPaths, "/proc/sys") {
		t.Errorf("paths are %v and %v", host.MaskedPaths, host.ReadonlyPaths)
	}
	if os.Geteuid() == 0 && !slices.Contains(host.Capabilities, "CAP_CHOWN") {
		t.Errorf("capabilities are %v", host.Capabilities)
	}
	if host.Machine != nil {
		t.Error("the machine is not this one")
	}
}

func TestDetectCgroups(t *testing.T) {
	t.Parallel()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	mounts := file("30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot,other\n" +
		"31 23 0:27 / /sys/fs/cgroup/x rw - cgroup2 cgroup2 rw,nsdelegate\n")
	pages := fstest.MapFS{
		"sys/kernel/mm/hugepages/hugepages-64kB/x": file(""), "sys/kernel/mm/hugepages/hugepages-2048kB/x": file(""),
		"sys/kernel/mm/hugepages/hugepages-1048576kB/x": file(""), "sys/kernel/mm/hugepages/odd/x": file(""),
	}
	sizes := []string{"1GB", "2MB", "64KB"}
	for name, test := range map[string]struct {
		v2    bool
		files fstest.MapFS
		want  spec.Host
		err   string
	}{
		"v1": {
			files: fstest.MapFS{"sys/fs/cgroup/memory/memory.memsw.limit_in_bytes": file(""), "sys/fs/cgroup/hugetlb/x": file("")},
			want:  spec.Host{Swap: true, HugepageSizes: sizes},
		},
		"v1 without both": {files: fstest.MapFS{}},
		"processors": {
			files: fstest.MapFS{"sys/devices/system/cpu/possible": file("0-3,8\n"), "sys/devices/system/node/possible": file("0\n")},
			want:  spec.Host{CPUs: "0-3,8", MemoryNodes: "0"},
		},
		"odd processors": {files: fstest.MapFS{"sys/devices/system/cpu/possible": file("many\n")}},
		"v2": {
			v2: true,
			files: fstest.MapFS{
				"proc/self/cgroup": file("0::/system.slice/trivet.service\n"), "proc/self/mountinfo": mounts,
				"sys/fs/cgroup/cgroup.controllers":                          file("cpuset cpu io memory hugetlb pids\n"),
				"sys/fs/cgroup/system.slice/trivet.service/memory.swap.max": file("max"),
			},
			want: spec.Host{CgroupV2: true, Swap: true, HugepageSizes: sizes, CgroupOptions: []string{"nsdelegate", "memory_recursiveprot"}},
		},
		"v2 without both": {
			v2: true,
			files: fstest.MapFS{
				"proc/self/cgroup": file("1:name=x:/y\n0::/\n"), "proc/self/mountinfo": file(""),
				"sys/fs/cgroup/cgroup.controllers": file("cpu nohugetlb\n"),
			},
			want: spec.Host{CgroupV2: true},
		},
		"v2 without own cgroup": {v2: true, files: fstest.MapFS{"proc/self/cgroup": file("1:cpu:/\n")}, err: "no entry of version 2"},
		"v2 without controllers": {
			v2: true, files: fstest.MapFS{"proc/self/cgroup": file("0::/\n"), "proc/self/mountinfo": mounts}, err: "read cgroup controllers",
		},
		"v2 without mounts": {
			v2: true, files: fstest.MapFS{"proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/cgroup.controllers": file("")}, err: "read mounts",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for path, f := range pages {
				test.files[path] = f
			}
			got := spec.Host{CgroupV2: test.v2}
			err := spec.DetectCgroups(&got, test.files)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("got %v, want %q", err, test.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Fatalf("got %+v, %v, want %+v", got, err, test.want)
			}
		})
	}
}

func TestListsProfile(t *testing.T) {
	t.Parallel()
	const list = "k8s-custom (enforce)\nlong name (x) (complain)\ntrivet-default (enforce)\n"
	for name, want := range map[string]bool{
		"k8s-custom": true, "long name (x)": true, "trivet-default": true, "k8s": false, "k8s-custom (enforce)": false, "": false,
	} {
		if got, err := spec.ListsProfile(strings.NewReader(list), name); err != nil || got != want {
			t.Errorf("%q: got %v, %v", name, got, err)
		}
	}
}
