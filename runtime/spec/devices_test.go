package spec_test

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/spec"
)

func devicePaths(s *specs.Spec) []string {
	var paths []string
	for _, d := range s.Linux.Devices {
		paths = append(paths, d.Path)
	}
	return paths
}

func TestDevices(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		device *runtimeapi.Device
		want   []string
	}{
		"one":                {&runtimeapi.Device{HostPath: "/dev/null", ContainerPath: "/dev/zero", Permissions: "rwm"}, []string{"/dev/zero"}},
		"same path":          {&runtimeapi.Device{HostPath: "/dev/null", Permissions: "r"}, []string{"/dev/null"}},
		"link":               {&runtimeapi.Device{HostPath: "/dev/disk/by-id/one", ContainerPath: "/dev/disk0", Permissions: "rw"}, []string{"/dev/disk0"}},
		"link, no path":      {&runtimeapi.Device{HostPath: "/dev/disk/by-id/one", Permissions: "rw"}, []string{"/dev/disk/by-id/one"}},
		"directory":          {&runtimeapi.Device{HostPath: "/dev/snd", ContainerPath: "/dev/s", Permissions: "m"}, []string{"/dev/s/pcm", "/dev/s/by-path/ctl"}},
		"directory, no path": {&runtimeapi.Device{HostPath: "/dev/snd", Permissions: "m"}, []string{"/dev/snd/pcm", "/dev/snd/by-path/ctl"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			in.Config.Devices = []*runtimeapi.Device{test.device}
			s := build(t, in)
			if got := devicePaths(s); !slices.Equal(got, test.want) {
				t.Fatalf("got %v, want %v", got, test.want)
			}
			rules := s.Linux.Resources.Devices
			if len(rules) != 1+len(test.want) || rules[0].Allow {
				t.Fatalf("rules are %+v", rules)
			}
			for i, rule := range rules[1:] {
				d := s.Linux.Devices[i]
				if !rule.Allow || rule.Type != d.Type || *rule.Major != d.Major || *rule.Minor != d.Minor || rule.Access != test.device.Permissions {
					t.Errorf("rule %+v is not of device %+v", rule, d)
				}
			}
		})
	}
}

func TestDevicesRefused(t *testing.T) {
	t.Parallel()
	for say, d := range map[string]*runtimeapi.Device{
		`devices[0].permissions "rx"`:            {HostPath: "/dev/null", Permissions: "rx"},
		`devices[0].permissions ""`:              {HostPath: "/dev/null"},
		`devices[0].host_path "null"`:            {HostPath: "null", Permissions: "r"},
		`devices[0].container_path "null"`:       {HostPath: "/dev/null", ContainerPath: "null", Permissions: "r"},
		`devices[0].host_path "/dev/none" is no`: {HostPath: "/dev/none", Permissions: "r"},
		`devices[0].host_path "/dev/fifo" is no`: {HostPath: "/dev/fifo", Permissions: "r"},
	} {
		in := plain()
		in.Config.Devices = []*runtimeapi.Device{d}
		refused(t, in, wrong, say)
	}
}

func TestDeviceOwnership(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		on          bool
		user, group *runtimeapi.Int64Value
		uid, gid    uint32
	}{
		{false, &runtimeapi.Int64Value{Value: 7}, &runtimeapi.Int64Value{Value: 8}, 0, 0},
		{true, &runtimeapi.Int64Value{Value: 7}, &runtimeapi.Int64Value{Value: 8}, 7, 8},
		{true, &runtimeapi.Int64Value{Value: 7}, nil, 7, 0},
		{true, nil, nil, 0, 0},
	} {
		in := plain()
		in.Runtime.DeviceOwnership = test.on
		security(&in).RunAsUser, security(&in).RunAsGroup = test.user, test.group
		in.Config.Devices = []*runtimeapi.Device{{HostPath: "/dev/snd", Permissions: "rw"}}
		for _, d := range build(t, in).Linux.Devices {
			if *d.UID != test.uid || *d.GID != test.gid {
				t.Errorf("%+v: got %d:%d", test, *d.UID, *d.GID)
			}
		}
	}
}

func TestPrivilegedDevices(t *testing.T) {
	t.Parallel()
	in := plain()
	privilege(&in)
	in.Config.Devices = []*runtimeapi.Device{{HostPath: "/dev/null", ContainerPath: "/dev/sda", Permissions: "r"}}
	s := build(t, in)
	if got, want := devicePaths(s), []string{"/dev/sda", "/dev/null", "/dev/snd/pcm", "/dev/snd/by-path/ctl"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if rules := s.Linux.Resources.Devices; len(rules) != 1 || !rules[0].Allow || rules[0].Access != "rwm" || rules[0].Type != "" {
		t.Errorf("rules are %+v", rules)
	}

	in.Handler.PrivilegedWithoutHostDevices = true
	s = build(t, in)
	if got := devicePaths(s); !slices.Equal(got, []string{"/dev/sda"}) {
		t.Errorf("without host devices: got %v", got)
	}
	if rules := s.Linux.Resources.Devices; len(rules) != 2 || rules[0].Allow {
		t.Errorf("without host devices: rules are %+v", rules)
	}

	in.Handler.PrivilegedAllDevicesAllowed = true
	s = build(t, in)
	if got, rules := devicePaths(s), s.Linux.Resources.Devices; !slices.Equal(got, []string{"/dev/sda"}) || len(rules) != 1 || !rules[0].Allow {
		t.Errorf("any device, but none of the host's: got %v, rules are %+v", got, rules)
	}
}

// TestRealDevices reads nodes that each Linux machine has.
func TestRealDevices(t *testing.T) {
	t.Parallel()
	in := plain()
	in.Host.Machine, in.Host.AppArmor = nil, false
	in.Config.Devices = []*runtimeapi.Device{{HostPath: "/dev/null", ContainerPath: "/dev/x", Permissions: "rw"}}
	d := build(t, in).Linux.Devices[0]
	if d.Path != "/dev/x" || d.Type != "c" || d.Major != 1 || d.Minor != 3 || *d.FileMode != 0o666 {
		t.Errorf("got %+v", d)
	}
	in.Config.Devices[0].HostPath = "/dev/trivet-has-no-such"
	refused(t, in, wrong, "is no device")
	in.Config.Devices[0].HostPath = "/etc/passwd"
	refused(t, in, wrong, "is no device")
}

var _ spec.Machine = board{}
