//go:build e2e

package golden_test

import (
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// podKind is a pod that requests run in.
type podKind struct {
	handler string
	edit    func(*runtimeapi.PodSandboxConfig)
}

// pods are all kinds by name. None has the handler crun: the specs of the
// built-in plugin say a version that distributions' crun refuses.
var pods = map[string]podKind{
	"plain": {},
	"shared-pid": {edit: func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
	}},
	"host-network": {edit: func(c *runtimeapi.PodSandboxConfig) {
		c.Hostname = ""
		c.Linux.SecurityContext.NamespaceOptions.Network = runtimeapi.NamespaceMode_NODE
	}},
	"host-ipc": {edit: func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Ipc = runtimeapi.NamespaceMode_NODE
	}},
	"host-pid": {edit: func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_NODE
	}},
	"host-all": {edit: func(c *runtimeapi.PodSandboxConfig) {
		c.Hostname = ""
		c.Linux.SecurityContext.NamespaceOptions = &runtimeapi.NamespaceOption{
			Network: runtimeapi.NamespaceMode_NODE, Ipc: runtimeapi.NamespaceMode_NODE, Pid: runtimeapi.NamespaceMode_NODE,
		}
	}},
	"user-namespace": {edit: userNamespace},
	"user-namespace-shared-pid": {edit: func(c *runtimeapi.PodSandboxConfig) {
		userNamespace(c)
		c.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
	}},
	"host-network-shared-pid": {edit: func(c *runtimeapi.PodSandboxConfig) {
		c.Hostname = ""
		c.Linux.SecurityContext.NamespaceOptions = &runtimeapi.NamespaceOption{Network: runtimeapi.NamespaceMode_NODE}
	}},
	"annotated-shared-pid": {handler: "annotated", edit: func(c *runtimeapi.PodSandboxConfig) {
		c.Annotations = map[string]string{"pod.example/one": "1", "container.example/pod": "no"}
		c.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
	}},
	"privileged-shared-pid": {edit: func(c *runtimeapi.PodSandboxConfig) {
		privileged(c)
		c.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
	}},
	"privileged": {edit: privileged},
	"privileged-host": {edit: func(c *runtimeapi.PodSandboxConfig) {
		privileged(c)
		c.Hostname = ""
		c.Linux.SecurityContext.NamespaceOptions.Network = runtimeapi.NamespaceMode_NODE
	}},
	"privileged-bare":     {handler: "bare", edit: privileged},
	"privileged-unlocked": {handler: "unlocked", edit: privileged},
	"annotated": {handler: "annotated", edit: func(c *runtimeapi.PodSandboxConfig) {
		c.Annotations = map[string]string{
			"pod.example/one": "1", "pod.example/two": "", "container.example/pod": "no", "both.example/key": "of the pod", "other.example/x": "no",
			"pod.example/deep/er": "no",
		}
	}},
	"based": {handler: "based"},
	"sysctls": {edit: func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.Sysctls = map[string]string{
			"kernel.shm_rmid_forced": "1", "net.ipv4.ip_local_port_range": "10000 65000", "net.core.somaxconn": "2048",
			"net.ipv4.ip_unprivileged_port_start": "500",
		}
	}},
	"dns": {edit: func(c *runtimeapi.PodSandboxConfig) {
		c.DnsConfig = &runtimeapi.DNSConfig{
			Servers: []string{"10.0.0.10", "fd00::10"}, Searches: []string{"golden.svc.example", "svc.example"}, Options: []string{"ndots:5", "edns0"},
		}
	}},
	"ports": {edit: func(c *runtimeapi.PodSandboxConfig) {
		c.PortMappings = []*runtimeapi.PortMapping{{Protocol: runtimeapi.Protocol_TCP, ContainerPort: 80, HostPort: 18080, HostIp: "127.0.0.1"}, {ContainerPort: 81}}
	}},
	"no-hostname":      {edit: func(c *runtimeapi.PodSandboxConfig) { c.Hostname = "" }},
	"no-cgroup-parent": {edit: func(c *runtimeapi.PodSandboxConfig) { c.Linux.CgroupParent = "" }},
	"sized": {edit: func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.Resources = &runtimeapi.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512, MemoryLimitInBytes: 64 << 20}
		c.Linux.Overhead = &runtimeapi.LinuxContainerResources{CpuShares: 100, MemoryLimitInBytes: 8 << 20}
		c.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
	}},
	"restricted": {edit: func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.SecurityContext.RunAsUser = &runtimeapi.Int64Value{Value: 1000}
		c.Linux.SecurityContext.RunAsGroup = &runtimeapi.Int64Value{Value: 2000}
		c.Linux.SecurityContext.SupplementalGroups = []int64{3000}
		c.Linux.SecurityContext.ReadonlyRootfs = true
		c.Linux.SecurityContext.Seccomp = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
		c.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
	}},
	"selinux": {edit: func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.SecurityContext.SelinuxOptions = &runtimeapi.SELinuxOption{Type: "container_t", Level: "s0:c1,c2"}
	}},
}

func privileged(c *runtimeapi.PodSandboxConfig) { c.Linux.SecurityContext.Privileged = true }

func userNamespace(c *runtimeapi.PodSandboxConfig) {
	c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{
		Mode: runtimeapi.NamespaceMode_POD, Uids: idRange(0, 655360, 65536), Gids: idRange(0, 655360, 65536),
	}
}

func idRange(inside, outside, length uint32) []*runtimeapi.IDMapping {
	return []*runtimeapi.IDMapping{{ContainerId: inside, HostId: outside, Length: length}}
}

// pauseRequests compare pause containers of pods that have one on both sides.
var pauseRequests = map[string]request{
	"shared PID": {pod: "shared-pid", pause: true}, "sized": {pod: "sized", pause: true}, "restricted": {pod: "restricted", pause: true},
	"user namespace": {pod: "user-namespace-shared-pid", pause: true}, "annotations": {pod: "annotated-shared-pid", pause: true},
	"host network": {pod: "host-network-shared-pid", pause: true}, "privileged": {pod: "privileged-shared-pid", pause: true},
}

// podRequests are ordinary containers in pods that differ.
var podRequests = map[string]request{
	"plain": {}, "sysctls": {pod: "sysctls"}, "dns": {pod: "dns"}, "ports": {pod: "ports"}, "no hostname": {pod: "no-hostname"},
	"no cgroup parent": {pod: "no-cgroup-parent"}, "sized": {pod: "sized"}, "restricted": {pod: "restricted"}, "selinux is off": {pod: "selinux"},
}
