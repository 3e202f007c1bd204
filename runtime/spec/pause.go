package spec

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/users"
)

// The pause container needs next to nothing and is killed last of its pod.
const (
	pauseOOMScoreAdj = -998
	pauseCPUShares   = 2
)

// PauseInput is all that the spec of a pod's pause container depends on.
type PauseInput struct {
	ID        string // the pod's
	Pod       *runtimeapi.PodSandboxConfig
	Image     ocispec.ImageConfig
	ImageName string

	Handler config.Handler
	Runtime config.Runtime
	Systemd bool

	// Namespaces to join. An empty one is the host's if the pod asked for
	// NODE, and else one that the pause container makes and holds.
	Namespaces Namespaces
	Files      Files // Shm and ResolvConf count
	User       users.Resolved
	SELinux    SELinux
	// Sysctls are for handlers whose namespaces only the pause container
	// makes (VMs); those of pinned namespaces are set by who pins them.
	Sysctls map[string]string
	Host    Host
}

// BuildPause makes the spec of a pod's pause container: the image's process
// with a read-only root and default capabilities. Errors are as of Build.
func BuildPause(in PauseInput) (*specs.Spec, error) {
	s := builtIn(&in.Host)
	for _, apply := range []func(*PauseInput, *specs.Spec) error{
		setPauseProcess, setPauseNamespaces, setPauseMounts, setPauseSecurity, setPauseResources, setPauseAnnotations,
	} {
		if err := apply(&in, s); err != nil {
			return nil, fmt.Errorf("spec of pod %q: %w", in.Pod.GetMetadata().GetName(), err)
		}
	}
	return s, nil
}

func (in *PauseInput) options() *runtimeapi.NamespaceOption {
	return in.Pod.GetLinux().GetSecurityContext().GetNamespaceOptions()
}

func setPauseProcess(in *PauseInput, s *specs.Spec) error {
	s.Process.Args = slices.Concat(in.Image.Entrypoint, in.Image.Cmd)
	if len(s.Process.Args) == 0 {
		return invalid("image.pause_image", in.ImageName, "has neither entrypoint nor cmd")
	}
	setImageCwd(&in.Image, s)
	env := newEnviron(len(in.Image.Env))
	env.set(in.Image.Env...)
	s.Process.Env = env.list()
	s.Process.NoNewPrivileges = true
	s.Root.Readonly = true
	setUser(in.User, s)
	return nil
}

func setPauseNamespaces(in *PauseInput, s *specs.Spec) error {
	hostNetwork := in.options().GetNetwork() == runtimeapi.NamespaceMode_NODE
	for _, n := range []struct {
		kind specs.LinuxNamespaceType
		path string
		host bool
	}{
		{specs.NetworkNamespace, in.Namespaces.Network, hostNetwork},
		{specs.UTSNamespace, in.Namespaces.UTS, hostNetwork},
		{specs.IPCNamespace, in.Namespaces.IPC, in.options().GetIpc() == runtimeapi.NamespaceMode_NODE},
		{specs.PIDNamespace, in.Namespaces.PID, in.options().GetPid() == runtimeapi.NamespaceMode_NODE},
	} {
		if n.path == "" && n.host {
			dropNamespace(s, n.kind)
		} else {
			putNamespace(s, n.kind, n.path)
		}
	}
	if in.Namespaces.UTS == "" && !hostNetwork {
		s.Hostname = in.Pod.GetHostname() // a pinned one has it already
	}
	m, err := userMappings(in.options().GetUsernsOptions())
	if err != nil || m.uids == nil {
		return err
	}
	if err := m.check(s.Process.User); err != nil {
		return err
	}
	putNamespace(s, specs.UserNamespace, in.Namespaces.User)
	s.Linux.UIDMappings, s.Linux.GIDMappings = m.uids, m.gids
	return nil
}

// setPauseMounts shows the pod's /dev/shm and resolv.conf, which VM runtimes
// take over from here. A user namespace could not take the flags off again.
func setPauseMounts(in *PauseInput, s *specs.Spec) error {
	options := []string{"rbind", "ro", "nosuid", "nodev", "noexec"}
	for _, f := range []struct{ source, destination string }{
		{in.Files.Shm, "/dev/shm"},
		{in.Files.ResolvConf, "/etc/resolv.conf"},
	} {
		if f.source == "" {
			continue
		}
		b := bind{mount: specs.Mount{Destination: f.destination, Type: "bind", Source: f.source, Options: slices.Clone(options)}}
		s.Mounts = append(hide(s.Mounts, []bind{b}), b.mount)
	}
	if in.options().GetNetwork() == runtimeapi.NamespaceMode_NODE {
		bindSysfs(s)
	}
	return nil
}

func setPauseSecurity(in *PauseInput, s *specs.Spec) error {
	s.Linux.MountLabel, s.Process.SelinuxLabel = in.SELinux.MountLabel, in.SELinux.ProcessLabel
	var err error
	s.Linux.Seccomp, err = podSeccomp(in.Pod, &in.Handler, &in.Runtime, s.Process.Capabilities.Bounding).load(&in.Host)
	return err
}

func setPauseResources(in *PauseInput, s *specs.Spec) error {
	cpu := config.CPU{Shares: pauseCPUShares, Set: in.Runtime.InfraCtrCPUSet}
	if err := limitCPU(s.Linux.Resources, "runtime.infra_ctr_cpuset", cpu, &in.Host); err != nil {
		return err
	}
	s.Process.OOMScoreAdj = OOMScoreAdj(pauseOOMScoreAdj, &in.Runtime, &in.Host)
	s.Linux.Sysctl = maps.Clone(in.Sysctls)
	var err error
	s.Linux.CgroupsPath, err = cgroupPath(in.Pod.GetLinux().GetCgroupParent(), in.ID, in.Systemd)
	return err
}

// setPauseAnnotations tells VM runtimes how large the pod will be.
func setPauseAnnotations(in *PauseInput, s *specs.Spec) error {
	if r := in.Pod.GetLinux().GetResources(); r != nil {
		for key, value := range map[string]int64{
			annSandboxCPUPeriod: r.GetCpuPeriod(),
			annSandboxCPUQuota:  r.GetCpuQuota(),
			annSandboxCPUShares: r.GetCpuShares(),
			annSandboxMemory:    r.GetMemoryLimitInBytes(),
		} {
			annotate(s, map[string]string{key: strconv.FormatInt(value, 10)})
		}
	}
	passThrough(s, in.Pod.GetAnnotations(), in.Handler.PodAnnotations)
	meta := in.Pod.GetMetadata()
	annotate(s, map[string]string{
		annContainerType:         "sandbox",
		annSandboxName:           meta.GetName(),
		annSandboxNamespace:      meta.GetNamespace(),
		annSandboxUID:            meta.GetUid(),
		annSandboxLogDir:         in.Pod.GetLogDirectory(),
		annSandboxImage:          in.ImageName,
		sandboxIDKey(in.Handler): in.ID,
	})
	return nil
}
