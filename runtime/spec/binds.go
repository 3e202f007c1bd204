package spec

import (
	"fmt"
	"path"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// bind is a bind mount, with the propagation that it needs from the root.
type bind struct {
	mount       specs.Mount
	propagation string
}

// requestedBinds are the mounts of the request, in its order.
func requestedBinds(in *Input) ([]bind, error) {
	var binds []bind
	for i, m := range in.Config.GetMounts() {
		b, err := requestedBind(in, fmt.Sprintf("mounts[%d]", i), m)
		if err != nil {
			return nil, err
		}
		binds = append(binds, b)
	}
	return binds, nil
}

func requestedBind(in *Input, field string, m *runtimeapi.Mount) (bind, error) {
	if err := checkPaths(field, m); err != nil {
		return bind{}, err
	}
	propagation, err := propagation(&in.Host, field, m)
	if err != nil {
		return bind{}, err
	}
	access, err := access(in, field, m)
	if err != nil {
		return bind{}, err
	}
	extra, err := mountOptions(field, m.GetMountOptions())
	if err != nil {
		return bind{}, err
	}
	if err := checkMappings(field, m, in.podSecurity().GetNamespaceOptions().GetUsernsOptions()); err != nil {
		return bind{}, err
	}
	if err := in.needIDMappedMounts(field, m); err != nil {
		return bind{}, err
	}
	return bind{
		propagation: propagation,
		mount: specs.Mount{
			Destination: m.GetContainerPath(),
			Type:        "bind",
			Source:      m.GetHostPath(),
			Options:     append([]string{"rbind", propagation, access}, extra...),
			UIDMappings: idMappings(m.GetUidMappings()),
			GIDMappings: idMappings(m.GetGidMappings()),
		},
	}, nil
}

// propagation is the mount option. What is to propagate from or to the host
// must be on a mount that propagates there.
func propagation(host *Host, field string, m *runtimeapi.Mount) (string, error) {
	field += ".propagation"
	switch p := m.GetPropagation(); p {
	case runtimeapi.MountPropagation_PROPAGATION_PRIVATE:
		return "rprivate", nil
	case runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER:
		on, err := host.machine().MountOf(m.GetHostPath())
		if err != nil {
			return "", fmt.Errorf("%s: %w", field, err)
		}
		if !on.Shared && !on.Slave {
			return "", unable(field, p, "cannot be had: %q is on mount %q, which is neither shared nor slave", m.GetHostPath(), on.Point)
		}
		return "rslave", nil
	case runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL:
		on, err := host.machine().MountOf(m.GetHostPath())
		if err != nil {
			return "", fmt.Errorf("%s: %w", field, err)
		}
		if !on.Shared {
			return "", unable(field, p, "cannot be had: %q is on mount %q, which is not shared", m.GetHostPath(), on.Point)
		}
		return "rshared", nil
	default:
		return "", invalid(field, p, "is unknown")
	}
}

// access is the mount option ro, rro or rw.
func access(in *Input, field string, m *runtimeapi.Mount) (string, error) {
	if err := checkAccess(field, m); err != nil {
		return "", err
	}
	if !m.GetRecursiveReadOnly() {
		if readonly(m) || in.Files.ShowLogs(m.GetHostPath()) {
			return "ro", nil
		}
		return "rw", nil
	}
	field += ".recursive_read_only"
	if err := in.needRecursiveReadOnly(field); err != nil {
		return "", err
	}
	return "rro", nil
}

// mountOptions lets only those options pass that take rights away.
func mountOptions(field string, options []string) ([]string, error) {
	for i, o := range options {
		switch o {
		case "noexec", "nodev", "nosuid":
		default:
			return nil, invalid(fmt.Sprintf("%s.mount_options[%d]", field, i), o, "is none of noexec, nodev, nosuid")
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(options))), nil
}

// podBinds are the pod's own files. They are writable unless the root is
// read-only, and belong to the pod's user namespace.
func podBinds(in *Input) []bind {
	ids := in.security().GetNamespaceOptions().GetUsernsOptions()
	access := "rw"
	if in.readonlyRoot() {
		access = "ro"
	}
	var binds []bind
	for _, f := range []struct{ source, destination string }{
		{in.Files.Hostname, "/etc/hostname"},
		{in.Files.Hosts, "/etc/hosts"},
		{in.Files.ResolvConf, "/etc/resolv.conf"},
	} {
		if f.source != "" {
			binds = append(binds, plainBind(f.source, f.destination, access, ids))
		}
	}
	if in.Host.Localtime != "" {
		// Anybody may read it, and not every file system can be mapped.
		binds = append(binds, plainBind(in.Host.Localtime, "/etc/localtime", "ro", nil))
	}
	if in.Files.Shm != "" {
		// The tmpfs starts empty and is open to all, so it needs no mapping,
		// which kernels before 6.3 cannot give to a tmpfs.
		binds = append(binds, plainBind(in.Files.Shm, "/dev/shm", "rw", nil))
	}
	return binds
}

func volumeBinds(in *Input) []bind {
	ids := in.security().GetNamespaceOptions().GetUsernsOptions()
	var binds []bind
	for _, v := range in.Volumes {
		binds = append(binds, plainBind(v.HostPath, path.Join("/", v.ContainerPath), "rw", ids))
	}
	return binds
}

func plainBind(source, destination, access string, ids *runtimeapi.UserNamespace) bind {
	return bind{
		propagation: "rprivate",
		mount: specs.Mount{
			Destination: destination,
			Type:        "bind",
			Source:      source,
			Options:     []string{"rbind", "rprivate", access},
			UIDMappings: idMappings(ids.GetUids()),
			GIDMappings: idMappings(ids.GetGids()),
		},
	}
}
