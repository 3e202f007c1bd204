package spec_test

import (
	"slices"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/users"
)

var builtInCapabilities = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
	"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// without is list less names.
func without(list []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(c string) bool { return slices.Contains(names, c) })
}

func TestCapabilities(t *testing.T) {
	t.Parallel()
	all := testHost().Capabilities
	for name, test := range map[string]struct {
		request *runtimeapi.Capability
		want    []string
	}{
		"default":              {nil, builtInCapabilities},
		"empty":                {&runtimeapi.Capability{}, builtInCapabilities},
		"add":                  {&runtimeapi.Capability{AddCapabilities: []string{"NET_ADMIN", "CHOWN"}}, append([]string{"CAP_NET_ADMIN"}, builtInCapabilities...)},
		"drop":                 {&runtimeapi.Capability{DropCapabilities: []string{"NET_RAW", "SYS_TIME"}}, without(builtInCapabilities, "CAP_NET_RAW")},
		"lower case":           {&runtimeapi.Capability{DropCapabilities: []string{"net_raw"}}, without(builtInCapabilities, "CAP_NET_RAW")},
		"full name":            {&runtimeapi.Capability{DropCapabilities: []string{"CAP_NET_RAW"}}, without(builtInCapabilities, "CAP_NET_RAW")},
		"drop all":             {&runtimeapi.Capability{DropCapabilities: []string{"ALL"}}, nil},
		"drop all, add":        {&runtimeapi.Capability{DropCapabilities: []string{"all"}, AddCapabilities: []string{"KILL"}}, []string{"CAP_KILL"}},
		"add all":              {&runtimeapi.Capability{AddCapabilities: []string{"All"}}, all},
		"add all, drop":        {&runtimeapi.Capability{AddCapabilities: []string{"ALL"}, DropCapabilities: []string{"SYS_ADMIN"}}, without(all, "CAP_SYS_ADMIN")},
		"add and drop":         {&runtimeapi.Capability{AddCapabilities: []string{"SYS_TIME"}, DropCapabilities: []string{"SYS_TIME"}}, builtInCapabilities},
		"add all and drop all": {&runtimeapi.Capability{AddCapabilities: []string{"ALL", "KILL"}, DropCapabilities: []string{"ALL"}}, []string{"CAP_KILL"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			security(&in).Capabilities = test.request
			want := slices.Sorted(slices.Values(test.want))
			// The user makes no difference: the kernel does that.
			for _, uid := range []uint32{0, 1000} {
				in.User = users.Resolved{UID: uid}
				got := build(t, in).Process.Capabilities
				for set, list := range map[string][]string{"bounding": got.Bounding, "permitted": got.Permitted, "effective": got.Effective} {
					if !slices.Equal(slices.Sorted(slices.Values(list)), want) {
						t.Errorf("%s: got %v, want %v", set, list, want)
					}
				}
				if got.Ambient != nil || got.Inheritable != nil {
					t.Errorf("ambient %v, inheritable %v", got.Ambient, got.Inheritable)
				}
			}
		})
	}
}

func TestPrivilegedCapabilities(t *testing.T) {
	t.Parallel()
	in := plain()
	privilege(&in)
	security(&in).Capabilities = &runtimeapi.Capability{DropCapabilities: []string{"ALL"}}
	got := build(t, in).Process.Capabilities
	if !slices.Equal(got.Bounding, in.Host.Capabilities) || !slices.Equal(got.Effective, in.Host.Capabilities) {
		t.Fatalf("got %+v", got)
	}
}

func TestAmbientCapabilities(t *testing.T) {
	t.Parallel()
	in := plain()
	security(&in).Capabilities = &runtimeapi.Capability{
		DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"NET_BIND_SERVICE"},
		AddAmbientCapabilities: []string{"NET_BIND_SERVICE", "net_bind_service"},
	}
	got, want := build(t, in).Process.Capabilities, []string{"CAP_NET_BIND_SERVICE"}
	if !slices.Equal(got.Ambient, want) || !slices.Equal(got.Inheritable, want) {
		t.Fatalf("got %+v", got)
	}
	security(&in).Capabilities.AddAmbientCapabilities = []string{"SYS_ADMIN"}
	refused(t, in, wrong, `add_ambient_capabilities "SYS_ADMIN"`)
}

// TestUnknownCapabilities: one that nobody knows cannot be given; to take it
// away changes nothing.
func TestUnknownCapabilities(t *testing.T) {
	t.Parallel()
	in := plain()
	security(&in).Capabilities = &runtimeapi.Capability{AddCapabilities: []string{"KILL", "FLYING"}}
	refused(t, in, wrong, `add_capabilities[1] "FLYING"`)
	security(&in).Capabilities = &runtimeapi.Capability{DropCapabilities: []string{"FLYING"}}
	build(t, in)
}
