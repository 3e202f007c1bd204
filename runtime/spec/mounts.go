package spec

import (
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/annotation"
)

// Files are host paths of what a pod's containers share; empty for none. The
// caller sees to their existence and SELinux labels. Shm is /dev/shm itself
// for a pod with the host's IPC namespace.
type Files struct {
	Hosts, Hostname, ResolvConf, Shm string
	// Logs is the volume that shows the pod's logs. No container may write to
	// it: whoever writes logs would follow links that it makes.
	Logs string
}

// ShowLogs tells whether a host path is in the volume with the pod's logs, also
// as kubelets have parts of volumes.
func (f Files) ShowLogs(source string) bool {
	if f.Logs == "" {
		return false
	}
	parts := path.Join(f.Logs, "../../../volume-subpaths", path.Base(f.Logs))
	return strings.HasPrefix(source+"/", f.Logs+"/") || strings.HasPrefix(source+"/", parts+"/")
}

// Volume is an anonymous volume that the image declares.
type Volume struct {
	HostPath      string
	ContainerPath string // made absolute, some images lack the slash
}

// setMounts puts together the defaults, the pod's files, the image's volumes
// and the requested mounts. A requested mount replaces whatever else would be
// at its destination. Binds are ordered by depth, so that none hides another.
func setMounts(in *Input, s *specs.Spec) error {
	binds, err := requestedBinds(in)
	if err != nil {
		return err
	}
	requested := make(map[string]bool, len(binds))
	for _, b := range binds {
		requested[path.Clean(b.mount.Destination)] = true
	}
	for _, b := range append(podBinds(in), volumeBinds(in)...) {
		if !requested[path.Clean(b.mount.Destination)] {
			binds = append(binds, b)
		}
	}
	slices.SortStableFunc(binds, func(a, b bind) int { return depth(a.mount) - depth(b.mount) })

	cgroups, err := cgroupMount(in, s)
	if err != nil {
		return err
	}
	s.Mounts = append(s.Mounts, cgroups)
	if in.Runtime.ReadOnly {
		s.Mounts = append(s.Mounts, scratch(s.Mounts)...)
	}
	s.Mounts = hide(s.Mounts, binds)
	if in.podSecurity().GetNamespaceOptions().GetNetwork() == runtimeapi.NamespaceMode_NODE {
		bindSysfs(s)
	}
	if in.security().GetPrivileged() {
		makeWritable(s.Mounts)
	}
	for _, b := range binds {
		s.Mounts = append(s.Mounts, b.mount)
		s.Linux.RootfsPropagation = widen(s.Linux.RootfsPropagation, b.propagation)
	}
	return nil
}

// scratch are what programs must be able to write to with a read-only root, but
// for what is mounted already. OCI runtimes copy what the image has there.
func scratch(mounted []specs.Mount) []specs.Mount {
	var all []specs.Mount
	for _, m := range []struct{ destination, mode string }{{"/run", "0755"}, {"/tmp", "1777"}, {"/var/tmp", "1777"}} {
		if slices.ContainsFunc(mounted, func(other specs.Mount) bool { return path.Clean(other.Destination) == m.destination }) {
			continue
		}
		all = append(all, specs.Mount{
			Destination: m.destination, Type: "tmpfs", Source: "tmpfs",
			Options: []string{"rw", "noexec", "nosuid", "nodev", "tmpcopyup", "mode=" + m.mode},
		})
	}
	return all
}

// depth is the number of path elements of a destination.
func depth(m specs.Mount) int {
	return strings.Count(path.Clean(m.Destination), "/")
}

// hide removes default mounts at a destination of binds, and everything below
// /dev if /dev is one.
func hide(defaults []specs.Mount, binds []bind) []specs.Mount {
	at := make(map[string]bool, len(binds))
	for _, b := range binds {
		at[path.Clean(b.mount.Destination)] = true
	}
	return slices.DeleteFunc(defaults, func(m specs.Mount) bool {
		destination := path.Clean(m.Destination)
		return at[destination] || at["/dev"] && strings.HasPrefix(destination, "/dev/")
	})
}

// cgroupMount shows the container its cgroups, read-only unless the handler's
// cgroup_writable or the pod's annotation says otherwise, which is for version 2 alone. Without a cgroup
// namespace, mounting version 2 changes the options of the host's own mount,
// so they are repeated.
func cgroupMount(in *Input, s *specs.Spec) (specs.Mount, error) {
	writable, err := in.allowed().Flag(in.Pod.GetAnnotations(), annotation.CgroupWritable)
	if err != nil {
		return specs.Mount{}, err
	}
	mode := "ro"
	if (writable || in.Handler.CgroupWritable) && in.Host.CgroupV2 {
		mode = "rw"
	}
	options := []string{"nosuid", "noexec", "nodev", "relatime", mode}
	if !slices.ContainsFunc(s.Linux.Namespaces, isKind(specs.CgroupNamespace)) {
		options = append(options, in.Host.CgroupOptions...)
	}
	// A base spec may bring one of its own, which then counts.
	i := slices.IndexFunc(s.Mounts, func(m specs.Mount) bool { return path.Clean(m.Destination) == "/sys/fs/cgroup" })
	if i >= 0 {
		own := s.Mounts[i]
		s.Mounts = slices.Delete(s.Mounts, i, i+1)
		return own, nil
	}
	return specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: options}, nil
}

// bindSysfs binds the host's /sys where the kernel does not allow a new sysfs:
// in a user namespace that does not own the network namespace.
func bindSysfs(s *specs.Spec) {
	if len(s.Linux.UIDMappings) == 0 {
		return
	}
	for i, m := range s.Mounts {
		if m.Type == "sysfs" && path.Clean(m.Destination) == "/sys" {
			s.Mounts[i] = hostSysfs()
		}
	}
}

func hostSysfs() specs.Mount {
	return specs.Mount{
		Destination: "/sys", Type: "bind", Source: "/sys",
		Options: []string{"rbind", "rro", "nosuid", "nodev", "noexec"},
	}
}

// makeWritable lets privileged containers write to sysfs and cgroups.
func makeWritable(mounts []specs.Mount) {
	for _, m := range mounts {
		if m.Type != "sysfs" && m.Type != "cgroup" {
			continue
		}
		if i := slices.Index(m.Options, "ro"); i >= 0 {
			m.Options[i] = "rw"
		}
	}
}

// widen is the rootfs propagation that a bind needs: its own is only kept if
// the root's is at least as wide.
func widen(rootfs, propagation string) string {
	switch propagation {
	case "rshared":
		return "rshared"
	case "rslave":
		if rootfs != "rshared" && rootfs != "shared" {
			return "rslave"
		}
	}
	return rootfs
}
