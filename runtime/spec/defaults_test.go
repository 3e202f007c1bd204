package spec_test

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/spec"
)

func TestDefaultUlimits(t *testing.T) {
	t.Parallel()
	nofile := specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 4096}
	core := specs.POSIXRlimit{Type: "RLIMIT_CORE", Soft: 0, Hard: config.Unlimited}
	base := specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: 9, Hard: 9}
	for name, test := range map[string]struct {
		base *specs.Spec
		want []specs.POSIXRlimit
	}{
		"built in":  {nil, []specs.POSIXRlimit{nofile, core}},
		"base wins": {&specs.Spec{Process: &specs.Process{Rlimits: []specs.POSIXRlimit{base}}}, []specs.POSIXRlimit{base, core}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			in.Runtime.DefaultUlimits, in.Base = []string{"nofile=1024:4096", "core=0:-1"}, test.base
			if got := build(t, in).Process.Rlimits; !slices.Equal(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestDefaultCapabilities(t *testing.T) {
	t.Parallel()
	kill := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{
		Bounding: []string{"CAP_KILL"}, Permitted: []string{"CAP_KILL"}, Effective: []string{"CAP_KILL"},
	}}}
	for name, test := range map[string]struct {
		request *runtimeapi.Capability
		base    *specs.Spec
		want    []string
	}{
		"none asked":  {want: []string{"CAP_CHOWN", "CAP_NET_RAW"}},
		"add, drop":   {request: &runtimeapi.Capability{AddCapabilities: []string{"KILL"}, DropCapabilities: []string{"CHOWN"}}, want: []string{"CAP_KILL", "CAP_NET_RAW"}},
		"base wins":   {base: kill, want: []string{"CAP_KILL"}},
		"base has no": {base: &specs.Spec{Process: &specs.Process{}}, want: []string{"CAP_CHOWN", "CAP_NET_RAW"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			in.Runtime.DefaultCapabilities, in.Base = []string{"chown", "CAP_NET_RAW", "CHOWN"}, test.base
			security(&in).Capabilities = test.request
			got := build(t, in).Process.Capabilities
			for _, list := range [][]string{got.Bounding, got.Permitted, got.Effective} {
				if slices.Sort(list); !slices.Equal(list, test.want) {
					t.Errorf("got %+v, want %q in all three", got, test.want)
				}
			}
		})
	}
}

func TestInheritableCapabilities(t *testing.T) {
	t.Parallel()
	in := plain()
	in.Runtime.AddInheritableCaps, in.Runtime.DefaultCapabilities = true, []string{"CHOWN", "KILL"}
	security(&in).Capabilities = &runtimeapi.Capability{AddCapabilities: []string{"NET_RAW"}, DropCapabilities: []string{"KILL"}}
	got := build(t, in).Process.Capabilities
	if want := []string{"CAP_CHOWN", "CAP_NET_RAW"}; !slices.Equal(got.Inheritable, want) || got.Ambient != nil {
		t.Errorf("got %+v, want %q inheritable", got, want)
	}
	security(&in).Capabilities = &runtimeapi.Capability{DropCapabilities: []string{"ALL"}}
	if got := build(t, in).Process.Capabilities; len(got.Inheritable) > 0 {
		t.Errorf("nothing is left, and %q inheritable", got.Inheritable)
	}
}

// TestReadOnly: the root is not to be written to, but what programs need is,
// unless the request or the image has something there.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	in := plain()
	in.Runtime.ReadOnly = true
	in.Config.Mounts = []*runtimeapi.Mount{{HostPath: "/own", ContainerPath: "/var/tmp/"}, {HostPath: "/own", ContainerPath: "/run/own"}}
	in.Files.Hosts = "/pod/hosts"
	s := build(t, in)
	if !s.Root.Readonly {
		t.Error("the root is writable")
	}
	if m, _ := mountAt(t, s, "/etc/hosts"); !slices.Contains(m.Options, "ro") {
		t.Errorf("hosts are writable: %+v", m)
	}
	for destination, mode := range map[string]string{"/run": "mode=0755", "/tmp": "mode=1777"} {
		want := []string{"rw", "noexec", "nosuid", "nodev", "tmpcopyup", mode}
		if m, ok := mountAt(t, s, destination); !ok || m.Type != "tmpfs" || !slices.Equal(m.Options, want) {
			t.Errorf("%s: got %+v", destination, m)
		}
	}
	at := func(destination, kind string) int {
		return slices.IndexFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == destination && m.Type == kind })
	}
	if at("/var/tmp", "tmpfs") >= 0 || at("/var/tmp/", "bind") < 0 || at("/run/own", "bind") < at("/run", "tmpfs") {
		t.Errorf("mounts of the request are not there: %+v", s.Mounts)
	}
	in = plain()
	security(&in).ReadonlyRootfs = true
	if _, ok := mountAt(t, build(t, in), "/tmp"); ok {
		t.Error("a request for a read-only root alone brings no tmpfs")
	}
}

func TestHostNetworkWithoutSELinux(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		disable bool
		network runtimeapi.NamespaceMode
		process string
	}{
		"host, kept":      {false, runtimeapi.NamespaceMode_NODE, "u:r:t:s0:c1,c2"},
		"host, disabled":  {true, runtimeapi.NamespaceMode_NODE, ""},
		"pod's, disabled": {true, runtimeapi.NamespaceMode_POD, "u:r:t:s0:c1,c2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			in.Runtime.HostNetworkNoSELinux = test.disable
			in.SELinux = spec.SELinux{ProcessLabel: "u:r:t:s0:c1,c2", MountLabel: "u:o:f:s0:c1,c2"}
			in.Pod.Linux = &runtimeapi.LinuxPodSandboxConfig{SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
				NamespaceOptions: &runtimeapi.NamespaceOption{Network: test.network},
			}}
			s := build(t, in)
			if s.Process.SelinuxLabel != test.process || s.Linux.MountLabel != in.SELinux.MountLabel {
				t.Errorf("process %q, mounts %q", s.Process.SelinuxLabel, s.Linux.MountLabel)
			}
		})
	}
}

func TestDefaultEnv(t *testing.T) {
	t.Parallel()
	in := plain()
	in.Runtime.DefaultEnv = []string{"MODE=node", "LANG=node", "PROXY=proxy:1", "PATH=/node", "EMPTY="}
	in.Image.Env = []string{"LANG=C"}
	got := build(t, in).Process.Env
	for _, want := range []string{"MODE=test", "LANG=C", "PROXY=proxy:1", "PATH=/node", "EMPTY="} {
		if !slices.Contains(got, want) {
			t.Errorf("got %q without %s", got, want)
		}
	}
	if len(got) != 6 { // and HOSTNAME
		t.Errorf("got %q", got)
	}
}

func TestTimezone(t *testing.T) {
	t.Parallel()
	in := plain()
	if m, ok := mountAt(t, build(t, in), "/etc/localtime"); ok {
		t.Errorf("without a zone: got %+v", m)
	}
	in.Host.Localtime = "/zones/here"
	m, ok := mountAt(t, build(t, in), "/etc/localtime")
	if !ok || m.Source != "/zones/here" || !slices.Equal(m.Options, []string{"rbind", "rprivate", "ro"}) || m.UIDMappings != nil {
		t.Errorf("got %+v", m)
	}
	in.Config.Mounts = []*runtimeapi.Mount{{HostPath: "/own", ContainerPath: "/etc//localtime"}}
	s := build(t, in)
	if slices.ContainsFunc(s.Mounts, func(m specs.Mount) bool { return m.Source == "/zones/here" }) {
		t.Errorf("the request's own mount is covered: %+v", s.Mounts)
	}
}

func TestLocaltime(t *testing.T) {
	t.Parallel()
	if got, err := spec.Localtime(""); got != "" || err != nil {
		t.Errorf("no zone: got %q, %v", got, err)
	}
	for zone, file := range map[string]string{"Local": "/etc/localtime", "Etc/UTC": "/usr/share/zoneinfo/Etc/UTC"} {
		if _, err := os.Stat(file); err != nil {
			t.Logf("this machine has no %s", file)
			continue
		}
		if got, err := spec.Localtime(zone); got != file || err != nil {
			t.Errorf("%s: got %q, %v", zone, got, err)
		}
	}
	if _, err := spec.Localtime("Mars/Olympus"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), `"Mars/Olympus"`) {
		t.Errorf("missing: %v", err)
	}
	if _, err := spec.Localtime("."); err == nil {
		t.Error("a directory is taken for a zone")
	}
}
