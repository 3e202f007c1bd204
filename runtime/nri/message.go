package nri

import (
	"maps"
	"os"
	"slices"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/pod"
)

// podMessage is a pod as plugins are told of it.
func podMessage(p *pod.Pod) *api.PodSandbox {
	state, meta := p.State(), p.Config.GetMetadata()
	return &api.PodSandbox{
		Id: p.ID, Name: meta.GetName(), Uid: meta.GetUid(), Namespace: meta.GetNamespace(),
		Labels: maps.Clone(p.Config.GetLabels()), Annotations: maps.Clone(p.Config.GetAnnotations()),
		RuntimeHandler: p.HandlerName, Pid: uint32(state.PausePID), Ips: slices.Clone(state.IPs),
		Linux: &api.LinuxPodSandbox{
			PodOverhead: fromCRI(state.Resources.Overhead), PodResources: fromCRI(state.Resources.Resources),
			CgroupParent: p.Config.GetLinux().GetCgroupParent(), Namespaces: podNamespaces(p),
		},
	}
}

// podNamespaces are those that are pinned. A stopped pod's are gone, and must
// not be told of.
func podNamespaces(p *pod.Pod) []*api.LinuxNamespace {
	var all []*api.LinuxNamespace
	for _, ns := range []struct{ kind, path string }{
		{"network", p.Namespaces.Network}, {"ipc", p.Namespaces.IPC}, {"uts", p.Namespaces.UTS}, {"user", p.Namespaces.User},
	} {
		if ns.path == "" {
			continue
		}
		if _, err := os.Stat(ns.path); err == nil {
			all = append(all, &api.LinuxNamespace{Type: ns.kind, Path: ns.path})
		}
	}
	return all
}

// containerMessage is a container as plugins are told of it. Without a spec,
// which cannot always be read, it has what is in memory.
func containerMessage(c *container.Container, s *specs.Spec) *api.Container {
	state := c.State()
	m := &api.Container{
		Id: c.ID, PodSandboxId: c.PodID, Name: c.Config.GetMetadata().GetName(), State: containerState(state.Phase),
		Labels: maps.Clone(c.Config.GetLabels()), Annotations: maps.Clone(c.Config.GetAnnotations()),
		Pid: uint32(state.PID), CreatedAt: nanoseconds(c.CreatedAt), StartedAt: nanoseconds(state.StartedAt),
		FinishedAt: nanoseconds(state.FinishedAt), ExitCode: state.ExitCode,
		StatusReason: state.Reason, StatusMessage: state.Message, Linux: &api.LinuxContainer{},
		Image: &api.Image{Name: c.Config.GetImage().GetImage(), Digest: c.ImageRef, ConfigDigest: c.ImageID},
		User:  &api.User{Uid: c.User.UID, Gid: c.User.GID, AdditionalGids: slices.Clone(c.User.AdditionalGids)},
	}
	for _, d := range c.Config.GetCDIDevices() {
		m.CDIDevices = append(m.CDIDevices, &api.CDIDevice{Name: d.GetName()})
	}
	if profile := c.Config.GetLinux().GetSecurityContext().GetSeccomp(); profile != nil {
		m.Linux.SeccompProfile = &api.SecurityProfile{
			ProfileType: api.SecurityProfile_ProfileType(profile.GetProfileType()), LocalhostRef: profile.GetLocalhostRef(),
		}
	}
	if s != nil {
		describe(m, s)
	}
	return m
}

// describe adds what the OCI spec says.
func describe(m *api.Container, s *specs.Spec) {
	annotations := maps.Clone(s.Annotations)
	if annotations == nil {
		annotations = make(map[string]string)
	}
	maps.Copy(annotations, m.GetAnnotations())
	m.Annotations = annotations
	m.Mounts, m.Hooks = api.FromOCIMounts(s.Mounts), api.FromOCIHooks(s.Hooks)
	if process := s.Process; process != nil {
		m.Args, m.Env = slices.Clone(process.Args), slices.Clone(process.Env)
		m.User = &api.User{Uid: process.User.UID, Gid: process.User.GID, AdditionalGids: slices.Clone(process.User.AdditionalGids)}
		if process.OOMScoreAdj != nil {
			m.Linux.OomScoreAdj = api.Int(*process.OOMScoreAdj)
		}
		m.Linux.IoPriority = api.FromOCILinuxIOPriority(process.IOPriority)
		if process.Scheduler != nil {
			m.Linux.Scheduler = api.FromOCILinuxScheduler(process.Scheduler)
		}
		for _, l := range process.Rlimits {
			m.Rlimits = append(m.Rlimits, &api.POSIXRlimit{Type: l.Type, Hard: l.Hard, Soft: l.Soft})
		}
	}
	if linux := s.Linux; linux != nil {
		m.Linux.Namespaces, m.Linux.Devices = api.FromOCILinuxNamespaces(linux.Namespaces), api.FromOCILinuxDevices(linux.Devices)
		m.Linux.Resources = api.FromOCILinuxResources(linux.Resources, s.Annotations)
		m.Linux.CgroupsPath, m.Linux.Sysctl = linux.CgroupsPath, maps.Clone(linux.Sysctl)
		m.Linux.NetDevices = api.FromOCILinuxNetDevices(linux.NetDevices)
		if linux.Seccomp != nil {
			m.Linux.SeccompPolicy = api.FromOCILinuxSeccomp(linux.Seccomp)
		}
		if rdt := linux.IntelRdt; rdt != nil {
			m.Linux.Rdt = &api.LinuxRdt{
				ClosId: api.String(rdt.ClosID), Schemata: api.RepeatedString(rdt.Schemata), EnableMonitoring: api.Bool(rdt.EnableMonitoring),
			}
		}
	}
}

func containerState(phase runtimeapi.ContainerState) api.ContainerState {
	switch phase {
	case runtimeapi.ContainerState_CONTAINER_CREATED:
		return api.ContainerState_CONTAINER_CREATED
	case runtimeapi.ContainerState_CONTAINER_RUNNING:
		return api.ContainerState_CONTAINER_RUNNING
	case runtimeapi.ContainerState_CONTAINER_EXITED:
		return api.ContainerState_CONTAINER_STOPPED
	}
	return api.ContainerState_CONTAINER_UNKNOWN
}

func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
