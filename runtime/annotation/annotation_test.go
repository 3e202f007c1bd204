package annotation_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/runtime/annotation"
)

func TestFind(t *testing.T) {
	t.Parallel()
	const (
		newDevices, oldDevices = "devices.crio.io", "io.kubernetes.cri-o.Devices"
		newUnified, oldUnified = "unified-cgroup.crio.io/web", "io.kubernetes.cri-o.UnifiedCgroup"
	)
	tests := []struct {
		name    string
		allowed annotation.Allowed
		has     []string // keys that are set, each to itself
		find    string
		key     string // empty for none
	}{
		{"nothing is allowed", nil, []string{newDevices}, annotation.Devices, ""},
		{"another is allowed", annotation.Allowed{"shm-size.crio.io"}, []string{newDevices}, annotation.Devices, ""},
		{"allowed and not there", annotation.Allowed{newDevices}, nil, annotation.Devices, ""},
		{"by name", annotation.Allowed{newDevices}, []string{newDevices}, annotation.Devices, newDevices},
		{"old key, new entry", annotation.Allowed{newDevices}, []string{oldDevices}, annotation.Devices, oldDevices},
		{"new key, old entry", annotation.Allowed{oldDevices}, []string{newDevices}, annotation.Devices, newDevices},
		{"the new spelling wins", annotation.Allowed{newDevices}, []string{oldDevices, newDevices}, annotation.Devices, newDevices},
		{"by glob", annotation.Allowed{"*.crio.io"}, []string{oldDevices}, annotation.Devices, oldDevices},
		{"by prefix", annotation.Allowed{"io.kubernetes.cri-o."}, []string{newDevices}, annotation.Devices, newDevices},
		{"a name is no prefix", annotation.Allowed{"devices"}, []string{newDevices}, annotation.Devices, ""},
		{"a prefix needs its dot", annotation.Allowed{"devices.cri."}, []string{newDevices}, annotation.Devices, ""},
		{"a container's, by the bare name", annotation.Allowed{annotation.UnifiedCgroup}, []string{newUnified}, newUnified, newUnified},
		{"a container's, by its own name", annotation.Allowed{newUnified}, []string{newUnified}, newUnified, newUnified},
		{"a container's, by another's", annotation.Allowed{"unified-cgroup.crio.io/db"}, []string{newUnified}, newUnified, ""},
		{"a container's, old", annotation.Allowed{oldUnified}, []string{oldUnified + "/web"}, newUnified, oldUnified + "/web"},
		{"a container's, old with a dot", annotation.Allowed{annotation.UnifiedCgroup}, []string{oldUnified + ".web"}, newUnified, oldUnified + ".web"},
		{"a container's is not the pod's", annotation.Allowed{annotation.UnifiedCgroup}, []string{newUnified}, annotation.UnifiedCgroup, ""},
		{"not renamed", annotation.Allowed{"run.oci."}, []string{"run.oci.handler"}, "run.oci.handler", "run.oci.handler"},
		{"not renamed, with a slash", annotation.Allowed{"cpu-quota.crio.io"}, []string{"cpu-quota.crio.io/web"}, "cpu-quota.crio.io/web", "cpu-quota.crio.io/web"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set := make(map[string]string)
			for _, key := range tt.has {
				set[key] = "value of " + key
			}
			key, value, ok := tt.allowed.Find(set, tt.find)
			if key != tt.key || ok != (tt.key != "") || value != set[tt.key] {
				t.Errorf("Find(%q) = %q, %q, %v, want key %q", tt.find, key, value, ok, tt.key)
			}
		})
	}
}

func TestEmptyValueIsFound(t *testing.T) {
	t.Parallel()
	allowed := annotation.Allowed{annotation.ShmSize}
	if _, value, ok := allowed.Find(map[string]string{annotation.ShmSize: ""}, annotation.ShmSize); !ok || value != "" {
		t.Errorf("an empty annotation is found as %q, %v", value, ok)
	}
}

func TestWithDefaults(t *testing.T) {
	t.Parallel()
	defaults := map[string]string{"devices.crio.io": "/dev/fuse", "io.kubernetes.cri-o.UnifiedCgroup.web": "x=1", "io.kubernetes.cri-o.Umask": "1"}
	for _, test := range []struct{ given, want map[string]string }{
		{nil, defaults},
		{map[string]string{"a": "b", "devices.crio.io": ""}, map[string]string{
			"a": "b", "devices.crio.io": "", "io.kubernetes.cri-o.UnifiedCgroup.web": "x=1", "io.kubernetes.cri-o.Umask": "1",
		}},
		{map[string]string{"io.kubernetes.cri-o.Devices": "/dev/net/tun", "unified-cgroup.crio.io/web": "y=2"}, map[string]string{
			"io.kubernetes.cri-o.Devices": "/dev/net/tun", "unified-cgroup.crio.io/web": "y=2", "io.kubernetes.cri-o.Umask": "1",
		}},
		{map[string]string{"io.kubernetes.cri-o.UnifiedCgroup/web": "y", "unified-cgroup.crio.io/db": "z", "devices.crio.io": "d", "io.kubernetes.cri-o.Umask": "2"}, map[string]string{
			"io.kubernetes.cri-o.UnifiedCgroup/web": "y", "unified-cgroup.crio.io/db": "z", "devices.crio.io": "d", "io.kubernetes.cri-o.Umask": "2",
		}},
	} {
		before := maps.Clone(test.given)
		if got := annotation.WithDefaults(test.given, defaults); !maps.Equal(got, test.want) || !maps.Equal(before, test.given) {
			t.Errorf("of %v: got %v, want %v", before, got, test.want)
		}
	}
	if got := annotation.WithDefaults(nil, nil); got != nil {
		t.Errorf("of nothing: %v", got)
	}
}

func TestFlag(t *testing.T) {
	t.Parallel()
	allowed := annotation.Allowed{annotation.CgroupWritable}
	for value, want := range map[string]bool{"true": true, "false": false, "": false} {
		if got, err := allowed.Flag(map[string]string{annotation.CgroupWritable: value}, annotation.CgroupWritable); got != want || err != nil {
			t.Errorf("%q: %v, %v", value, got, err)
		}
	}
	_, err := allowed.Flag(map[string]string{"io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw": "yes"}, annotation.CgroupWritable)
	if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), `annotations["io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw"] "yes"`) {
		t.Errorf("of what is neither: %v", err)
	}
	if got, err := annotation.Allowed(nil).Flag(map[string]string{annotation.CgroupWritable: "yes"}, annotation.CgroupWritable); got || err != nil {
		t.Errorf("not allowed: %v, %v", got, err)
	}
}
