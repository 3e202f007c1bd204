package spec

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Namespaces are paths of the pod's namespaces. An empty one is the host's if
// the pod asked for NODE; only PID may be empty otherwise too, for a
// container with a PID namespace of its own (CONTAINER). PID is the pod's, or
// for TARGET that of the target container.
type Namespaces struct {
	Network, IPC, UTS, User, PID string
}

// setNamespaces joins the pod's namespaces. Which ones a pod shares with the
// host is decided by the pod's configuration alone, never by the container's.
func setNamespaces(in *Input, s *specs.Spec) error {
	pod := in.podSecurity().GetNamespaceOptions()
	own := in.security().GetNamespaceOptions()
	if err := checkModes(own); err != nil {
		return err
	}
	hostNetwork := pod.GetNetwork() == runtimeapi.NamespaceMode_NODE
	joins := []struct {
		field string
		kind  specs.LinuxNamespaceType
		path  string
		host  bool
	}{
		{"network", specs.NetworkNamespace, in.Namespaces.Network, hostNetwork},
		{"ipc", specs.IPCNamespace, in.Namespaces.IPC, pod.GetIpc() == runtimeapi.NamespaceMode_NODE},
		{"uts", specs.UTSNamespace, in.Namespaces.UTS, hostNetwork},
		{"pid", specs.PIDNamespace, in.Namespaces.PID, pod.GetPid() == runtimeapi.NamespaceMode_NODE},
	}
	for _, j := range joins {
		// POD is the zero value, also of clients that do not care: in a pod that
		// shares no PID namespace it means one of the container's own.
		ownPID := j.kind == specs.PIDNamespace && (own.GetPid() == runtimeapi.NamespaceMode_CONTAINER ||
			own.GetPid() == runtimeapi.NamespaceMode_POD && pod.GetPid() == runtimeapi.NamespaceMode_CONTAINER)
		target := j.kind == specs.PIDNamespace && own.GetPid() == runtimeapi.NamespaceMode_TARGET
		switch {
		case ownPID:
			putNamespace(s, j.kind, "")
		case j.path != "":
			putNamespace(s, j.kind, j.path)
		case j.host && !target:
			dropNamespace(s, j.kind)
		default:
			return invalid("linux.security_context.namespace_options."+j.field, mode(own, j.kind),
				"cannot be had: the pod has no such namespace to join")
		}
	}
	// A cgroup namespace hides the host's cgroups. Version 1 and privileged
	// containers go without for compatibility, as with other runtimes.
	if in.Host.CgroupV2 && !in.security().GetPrivileged() {
		putNamespace(s, specs.CgroupNamespace, "")
	}
	return setUserNamespace(in, s)
}

// checkModes refuses a mode that nobody knows: it would be taken for another.
func checkModes(o *runtimeapi.NamespaceOption) error {
	for _, f := range []struct {
		name string
		mode runtimeapi.NamespaceMode
	}{{"network", o.GetNetwork()}, {"ipc", o.GetIpc()}, {"pid", o.GetPid()}} {
		if _, known := runtimeapi.NamespaceMode_name[int32(f.mode)]; !known {
			return invalid("linux.security_context.namespace_options."+f.name, f.mode, "is unknown")
		}
	}
	return nil
}

func mode(o *runtimeapi.NamespaceOption, kind specs.LinuxNamespaceType) runtimeapi.NamespaceMode {
	switch kind {
	case specs.PIDNamespace:
		return o.GetPid()
	case specs.IPCNamespace:
		return o.GetIpc()
	}
	return o.GetNetwork()
}

// putNamespace makes the container join path, or get a new namespace if path
// is empty.
func putNamespace(s *specs.Spec, kind specs.LinuxNamespaceType, path string) {
	ns := specs.LinuxNamespace{Type: kind, Path: path}
	if i := slices.IndexFunc(s.Linux.Namespaces, isKind(kind)); i >= 0 {
		s.Linux.Namespaces[i] = ns
		return
	}
	s.Linux.Namespaces = append(s.Linux.Namespaces, ns)
}

// dropNamespace leaves the container in the host's namespace.
func dropNamespace(s *specs.Spec, kind specs.LinuxNamespaceType) {
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, isKind(kind))
}

func isKind(kind specs.LinuxNamespaceType) func(specs.LinuxNamespace) bool {
	return func(ns specs.LinuxNamespace) bool { return ns.Type == kind }
}
