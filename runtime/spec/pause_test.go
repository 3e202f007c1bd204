package spec_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/spec"
)

func TestPauseNamespaces(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change                 func(*spec.PauseInput, *runtimeapi.NamespaceOption)
		network, uts, ipc, pid string
		hostname               string
	}{
		"pinned": {
			func(*spec.PauseInput, *runtimeapi.NamespaceOption) {},
			"/run/trivet/pods/b/net", "/run/trivet/pods/b/uts", "/run/trivet/pods/b/ipc", "new", "",
		},
		"made by it": {
			func(in *spec.PauseInput, _ *runtimeapi.NamespaceOption) { in.Namespaces = spec.Namespaces{} },
			"new", "new", "new", "new", "web-0",
		},
		"host's by path": {
			func(_ *spec.PauseInput, o *runtimeapi.NamespaceOption) { o.Network, o.Ipc = modeNode, modeNode },
			"/run/trivet/pods/b/net", "/run/trivet/pods/b/uts", "/run/trivet/pods/b/ipc", "new", "",
		},
		"host's": {
			func(in *spec.PauseInput, o *runtimeapi.NamespaceOption) {
				in.Namespaces = spec.Namespaces{}
				o.Network, o.Ipc, o.Pid = modeNode, modeNode, modeNode
			},
			"host", "host", "host", "host", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := pause()
			test.change(&in, in.Pod.Linux.SecurityContext.NamespaceOptions)
			s, err := spec.BuildPause(in)
			if err != nil {
				t.Fatal(err)
			}
			for kind, want := range map[specs.LinuxNamespaceType]string{
				specs.NetworkNamespace: test.network, specs.UTSNamespace: test.uts, specs.IPCNamespace: test.ipc,
				specs.PIDNamespace: test.pid, specs.MountNamespace: "new", specs.UserNamespace: "host", specs.CgroupNamespace: "host",
			} {
				if got := namespace(s, kind); got != want {
					t.Errorf("%s: got %s, want %s", kind, got, want)
				}
			}
			if s.Hostname != test.hostname {
				t.Errorf("hostname is %q, want %q", s.Hostname, test.hostname)
			}
		})
	}
}

func TestPauseUserNamespace(t *testing.T) {
	t.Parallel()
	in := pause()
	ids := []*runtimeapi.IDMapping{{HostId: 655360, Length: 65536}}
	options := in.Pod.Linux.SecurityContext.NamespaceOptions
	options.UsernsOptions = &runtimeapi.UserNamespace{Uids: ids, Gids: ids}
	options.Network = modeNode
	in.Namespaces.User = "/run/trivet/pods/b/user"
	s, err := spec.BuildPause(in)
	if err != nil {
		t.Fatal(err)
	}
	if namespace(s, specs.UserNamespace) != in.Namespaces.User || len(s.Linux.UIDMappings) != 1 {
		t.Errorf("got %+v", s.Linux)
	}
	if m, _ := mountAt(t, s, "/sys"); m.Type != "bind" {
		t.Errorf("/sys is %+v", m)
	}
}

func TestPauseSeccomp(t *testing.T) {
	t.Parallel()
	in := pause()
	in.Pod.Linux.SecurityContext.Seccomp = runtimeDefault
	if s, err := spec.BuildPause(in); err != nil || s.Linux.Seccomp == nil {
		t.Errorf("got %v, %v", s, err)
	}
	in.Pod.Linux.SecurityContext.Privileged = true
	if s, err := spec.BuildPause(in); err != nil || s.Linux.Seccomp != nil {
		t.Errorf("privileged: got %v, %v", s, err)
	}
}

func TestPauseRefused(t *testing.T) {
	t.Parallel()
	for say, change := range map[string]func(*spec.PauseInput){
		"has neither entrypoint nor cmd": func(in *spec.PauseInput) { in.Image.Entrypoint = nil },
		"linux.cgroup_parent":            func(in *spec.PauseInput) { in.Pod.Linux.CgroupParent = "relative" },
		"userns_options": func(in *spec.PauseInput) {
			in.Pod.Linux.SecurityContext.NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{Mode: modeTarget}
		},
		"seccomp.localhost_ref": func(in *spec.PauseInput) { in.Pod.Linux.SecurityContext.Seccomp = local("x") },
	} {
		in := pause()
		change(&in)
		if _, err := spec.BuildPause(in); !errors.Is(err, wrong) || !strings.Contains(err.Error(), say) || !strings.Contains(err.Error(), `pod "web-0"`) {
			t.Errorf("got %v, want ErrInvalidArgument with %q", err, say)
		}
	}
}
