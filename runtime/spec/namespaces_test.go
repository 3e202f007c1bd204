package spec_test

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/spec"
	"github.com/trivet-cri/trivet/runtime/users"
)

const (
	modePod       = runtimeapi.NamespaceMode_POD
	modeContainer = runtimeapi.NamespaceMode_CONTAINER
	modeNode      = runtimeapi.NamespaceMode_NODE
	modeTarget    = runtimeapi.NamespaceMode_TARGET
)

// namespace is where a container is: "new", "host" or a path.
func namespace(s *specs.Spec, kind specs.LinuxNamespaceType) string {
	i := slices.IndexFunc(s.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == kind })
	switch {
	case i < 0:
		return "host"
	case s.Linux.Namespaces[i].Path == "":
		return "new"
	}
	return s.Linux.Namespaces[i].Path
}

func TestPIDNamespace(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		pod, own runtimeapi.NamespaceMode
		path     string
		want     string // "" for a refusal
	}{
		"own":                          {modeContainer, modeContainer, "", "new"},
		"own, path is not for it":      {modePod, modeContainer, "/pid", "new"},
		"own in a pod of the host":     {modeNode, modeContainer, "", "new"},
		"pod":                          {modePod, modePod, "/pid", "/pid"},
		"pod without one":              {modePod, modePod, "", ""},
		"pod that has none":            {modeContainer, modePod, "", "new"},
		"host":                         {modeNode, modeNode, "", "host"},
		"host, not the pod":            {modeContainer, modeNode, "", ""},
		"pod of the host":              {modeNode, modePod, "", "host"},
		"target":                       {modePod, modeTarget, "/target", "/target"},
		"target without one":           {modePod, modeTarget, "", ""},
		"target never means the host":  {modeNode, modeTarget, "", ""},
		"target in a pod of the host":  {modeNode, modeTarget, "/target", "/target"},
		"host's in a pod with its own": {modePod, modeNode, "/pid", "/pid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			in.Pod.Linux.SecurityContext.NamespaceOptions.Pid = test.pod
			security(&in).NamespaceOptions.Pid = test.own
			in.Namespaces.PID = test.path
			if test.want == "" {
				refused(t, in, wrong, "linux.security_context.namespace_options.pid "+test.own.String())
				return
			}
			if got := namespace(build(t, in), specs.PIDNamespace); got != test.want {
				t.Fatalf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestSharedNamespaces(t *testing.T) {
	t.Parallel()
	for kind, empty := range map[specs.LinuxNamespaceType]func(*spec.Input){
		specs.NetworkNamespace: func(in *spec.Input) { in.Namespaces.Network = "" },
		specs.IPCNamespace:     func(in *spec.Input) { in.Namespaces.IPC = "" },
		specs.UTSNamespace:     func(in *spec.Input) { in.Namespaces.UTS = "" },
	} {
		in := plain()
		if got := namespace(build(t, in), kind); got == "new" || got == "host" {
			t.Errorf("%s: got %s, want the pod's", kind, got)
		}
		empty(&in)
		// A container cannot get the host's by asking for it.
		security(&in).NamespaceOptions.Network, security(&in).NamespaceOptions.Ipc = modeNode, modeNode
		refused(t, in, wrong, "namespace_options")
		options := in.Pod.Linux.SecurityContext.NamespaceOptions
		options.Network, options.Ipc = modeNode, modeNode
		if got := namespace(build(t, in), kind); got != "host" {
			t.Errorf("%s: got %s, want the host's", kind, got)
		}
	}
}

func TestCgroupNamespace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		v2, privileged bool
		want           string
	}{{false, false, "host"}, {true, false, "new"}, {true, true, "host"}, {false, true, "host"}} {
		in := plain()
		in.Host.CgroupV2, in.Host.CgroupOptions = test.v2, []string{"nsdelegate"}
		if test.privileged {
			privilege(&in)
		}
		s := build(t, in)
		if got := namespace(s, specs.CgroupNamespace); got != test.want {
			t.Errorf("%+v: got %s", test, got)
		}
		// Only in the host's namespace the host's options must be repeated.
		m, _ := mountAt(t, s, "/sys/fs/cgroup")
		if got := slices.Contains(m.Options, "nsdelegate"); got != (test.want == "host") {
			t.Errorf("%+v: options are %v", test, m.Options)
		}
	}
}

func TestUserNamespace(t *testing.T) {
	t.Parallel()
	in := plain()
	userns(&in)
	s := build(t, in)
	if got := namespace(s, specs.UserNamespace); got != in.Namespaces.User {
		t.Errorf("got %s", got)
	}
	want := []specs.LinuxIDMapping{{HostID: 655360, Size: 65536}}
	if !slices.Equal(s.Linux.UIDMappings, want) || !slices.Equal(s.Linux.GIDMappings, want) {
		t.Errorf("got %+v and %+v", s.Linux.UIDMappings, s.Linux.GIDMappings)
	}
	if m, _ := mountAt(t, s, "/etc/hosts"); !slices.Equal(m.UIDMappings, want) || !slices.Equal(m.GIDMappings, want) {
		t.Errorf("/etc/hosts is %+v", m)
	}
	if m, _ := mountAt(t, s, "/dev/shm"); m.UIDMappings != nil {
		t.Errorf("/dev/shm is %+v", m)
	}

	in = plain()
	node := &runtimeapi.UserNamespace{Mode: modeNode}
	security(&in).NamespaceOptions.UsernsOptions = node
	if got := namespace(build(t, in), specs.UserNamespace); got != "host" {
		t.Errorf("NODE and none: got %s", got)
	}
}

func TestUserNamespaceRefused(t *testing.T) {
	t.Parallel()
	ids := func(host, length uint32) []*runtimeapi.IDMapping {
		return []*runtimeapi.IDMapping{{HostId: host, Length: length}}
	}
	both := func(in *spec.Input, o *runtimeapi.UserNamespace) {
		in.Pod.Linux.SecurityContext.NamespaceOptions.UsernsOptions = o
		security(in).NamespaceOptions.UsernsOptions = o
	}
	for name, test := range map[string]struct {
		change func(*spec.Input)
		say    string
	}{
		"container alone": {func(in *spec.Input) { in.Pod.Linux.SecurityContext.NamespaceOptions.UsernsOptions = nil }, "differs from the pod's"},
		"pod alone":       {func(in *spec.Input) { security(in).NamespaceOptions.UsernsOptions = nil }, "differs from the pod's"},
		"other range": {func(in *spec.Input) {
			security(in).NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{Uids: ids(1, 65536), Gids: ids(655360, 65536)}
		}, "differs from the pod's"},
		"other group range": {func(in *spec.Input) {
			security(in).NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{Uids: ids(655360, 65536), Gids: ids(1, 65536)}
		}, "differs from the pod's"},
		"no mappings": {func(in *spec.Input) { both(in, &runtimeapi.UserNamespace{}) }, "needs one uid and one gid mapping"},
		"two mappings": {func(in *spec.Input) {
			both(in, &runtimeapi.UserNamespace{Uids: append(ids(1, 1), &runtimeapi.IDMapping{HostId: 2, ContainerId: 1, Length: 1}), Gids: ids(1, 1)})
		}, "needs one uid"},
		"overlap in the container": {func(in *spec.Input) {
			both(in, &runtimeapi.UserNamespace{Uids: append(ids(1, 1), ids(2, 1)...), Gids: ids(1, 1)})
		}, "userns_options.uids[1].container_id 0 with length 1 overlaps"},
		"overlap on the host": {func(in *spec.Input) {
			both(in, &runtimeapi.UserNamespace{Uids: ids(1, 1), Gids: append(ids(1, 4), &runtimeapi.IDMapping{HostId: 4, ContainerId: 4, Length: 1})})
		}, "userns_options.gids[1].host_id 4 with length 1 overlaps"},
		"beyond the ids": {func(in *spec.Input) {
			both(in, &runtimeapi.UserNamespace{Uids: ids(4294967295, 1), Gids: ids(1, 1)})
		}, "userns_options.uids[0].host_id 4294967295 with length 1 goes beyond the highest id"},
		"empty range":     {func(in *spec.Input) { both(in, &runtimeapi.UserNamespace{Uids: ids(1, 0), Gids: ids(1, 1)}) }, "userns_options.uids[0].length 0 maps nothing"},
		"NODE with range": {func(in *spec.Input) { both(in, &runtimeapi.UserNamespace{Mode: modeNode, Uids: ids(1, 1)}) }, "does not go with mappings"},
		"CONTAINER":       {func(in *spec.Input) { both(in, &runtimeapi.UserNamespace{Mode: modeContainer}) }, "is neither POD nor NODE"},
		"not pinned":      {func(in *spec.Input) { in.Namespaces.User = "" }, "no user namespace to join"},
		"unmapped user":   {func(in *spec.Input) { in.User = users.Resolved{UID: 65536} }, "run_as_user 65536 is outside"},
		"unmapped group":  {func(in *spec.Input) { in.User = users.Resolved{AdditionalGIDs: []uint32{0, 70000}} }, "group 70000 is outside"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			userns(&in)
			test.change(&in)
			refused(t, in, wrong, test.say)
		})
	}
}
