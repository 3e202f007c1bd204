package spec

import (
	"encoding/json"
	"path"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// rootfs is the root's path, relative to the bundle, where containerd mounts
// the container's snapshot.
const rootfs = "rootfs"

// ociVersion is what specs say of themselves. Runtimes read nothing else into
// it, but releases of crun that distributions ship refuse any later one.
const ociVersion = "1.0.2"

// defaultCapabilities are those of a container that asks for none.
var defaultCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD",
	"CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP",
	"CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// start is the spec to begin with: a copy of base, or the built-in one. The
// structs that steps write to are there afterwards.
func start(base *specs.Spec, host *Host) (*specs.Spec, error) {
	if base == nil {
		return builtIn(host), nil
	}
	s, err := clone(base)
	if err != nil {
		return nil, err
	}
	if s.Process == nil {
		s.Process = &specs.Process{Cwd: "/"}
	}
	if s.Process.Capabilities == nil {
		s.Process.Capabilities = &specs.LinuxCapabilities{}
	}
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
	if s.Linux.Resources == nil {
		s.Linux.Resources = &specs.LinuxResources{}
	}
	if s.Root == nil {
		s.Root = &specs.Root{}
	}
	s.Root.Path = rootfs
	s.Process.Capabilities.Ambient = nil
	s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return path.Clean(m.Destination) == "/run" })
	for _, key := range groupingAnnotations {
		delete(s.Annotations, key)
	}
	return s, nil
}

// clone copies s with all that it points to.
func clone(s *specs.Spec) (*specs.Spec, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	c := &specs.Spec{}
	return c, json.Unmarshal(text, c)
}

// builtIn has namespaces of its own for everything, no rlimits, no seccomp
// and no AppArmor profile.
func builtIn(host *Host) *specs.Spec {
	return &specs.Spec{
		Version: ociVersion,
		Root:    &specs.Root{Path: rootfs},
		Process: &specs.Process{
			Cwd: "/",
			Capabilities: &specs.LinuxCapabilities{
				Bounding:  slices.Clone(defaultCapabilities),
				Permitted: slices.Clone(defaultCapabilities),
				Effective: slices.Clone(defaultCapabilities),
			},
		},
		Mounts: defaultMounts(),
		Linux: &specs.Linux{
			MaskedPaths:   slices.Clone(host.MaskedPaths),
			ReadonlyPaths: slices.Clone(host.ReadonlyPaths),
			Resources: &specs.LinuxResources{
				Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: allAccess}},
			},
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace},
				{Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace},
				{Type: specs.MountNamespace},
				{Type: specs.NetworkNamespace},
			},
		},
	}
}

// defaultMounts are the pseudo file systems that every container has. setMounts adds the
// cgroup file system, and replaces /dev/shm by the pod's.
func defaultMounts() []specs.Mount {
	return []specs.Mount{
		{
			Destination: "/proc", Type: "proc", Source: "proc",
			Options: []string{"nosuid", "noexec", "nodev"},
		},
		{
			Destination: "/dev", Type: "tmpfs", Source: "tmpfs",
			Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"},
		},
		{
			Destination: "/dev/pts", Type: "devpts", Source: "devpts",
			Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"},
		},
		{
			Destination: "/dev/shm", Type: "tmpfs", Source: "shm",
			Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"},
		},
		{
			Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue",
			Options: []string{"nosuid", "noexec", "nodev"},
		},
		{
			Destination: "/sys", Type: "sysfs", Source: "sysfs",
			Options: []string{"nosuid", "noexec", "nodev", "ro"},
		},
	}
}
