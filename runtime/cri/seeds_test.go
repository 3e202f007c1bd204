package cri_test

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// seed is a request to start from, and how it ends.
type seed struct {
	name    string
	message proto.Message
	code    codes.Code
}

// seeds are good requests of each call, with each option in one of them.
// Placeholders stand for the ids of a victim.
func seeds() []seed {
	all := []seed{
		{"Version", &runtimeapi.VersionRequest{Version: "v1"}, codes.OK},
		{"Status", &runtimeapi.StatusRequest{Verbose: true}, codes.OK},
		{"RuntimeConfig", &runtimeapi.RuntimeConfigRequest{}, codes.OK},
		{"UpdateRuntimeConfig", &runtimeapi.UpdateRuntimeConfigRequest{RuntimeConfig: &runtimeapi.RuntimeConfig{
			NetworkConfig: &runtimeapi.NetworkConfig{PodCidr: "10.1.0.0/24"},
		}}, codes.OK},
		{"ListImages", &runtimeapi.ListImagesRequest{Filter: &runtimeapi.ImageFilter{Image: appSpec()}}, codes.OK},
		{"StreamImages", &runtimeapi.StreamImagesRequest{}, codes.OK},
		{"ImageStatus", &runtimeapi.ImageStatusRequest{Image: appSpec(), Verbose: true}, codes.OK},
		{"PullImage", &runtimeapi.PullImageRequest{
			Image: &runtimeapi.ImageSpec{Image: "registry.test/absent:1"}, Auth: &runtimeapi.AuthConfig{Username: "me", Password: "secret"},
			SandboxConfig: podtest.Sandbox("web"),
		}, codes.NotFound},
		{"RemoveImage", &runtimeapi.RemoveImageRequest{Image: appSpec()}, codes.OK},
		{"ImageFsInfo", &runtimeapi.ImageFsInfoRequest{}, codes.OK},
		{"GetContainerEvents", &runtimeapi.GetEventsRequest{}, codes.Unimplemented},
		{"ListMetricDescriptors", &runtimeapi.ListMetricDescriptorsRequest{}, codes.Unimplemented},
		{"ListPodSandboxMetrics", &runtimeapi.ListPodSandboxMetricsRequest{}, codes.Unimplemented},
		{"StreamPodSandboxMetrics", &runtimeapi.StreamPodSandboxMetricsRequest{}, codes.Unimplemented},
	}
	return append(append(all, podSeeds()...), containerSeeds()...)
}

func appSpec() *runtimeapi.ImageSpec { return &runtimeapi.ImageSpec{Image: containertest.Image} }

func podSeeds() []seed {
	const pod = "$pod"
	filter := &runtimeapi.PodSandboxFilter{Id: pod, LabelSelector: map[string]string{"app": "web"}}
	return []seed{
		{"RunPodSandbox", &runtimeapi.RunPodSandboxRequest{Config: podtest.SharedPID("new")}, codes.OK},
		{"RunPodSandbox", &runtimeapi.RunPodSandboxRequest{Config: fullPod(), RuntimeHandler: "other"}, codes.OK},
		{"RunPodSandbox", &runtimeapi.RunPodSandboxRequest{Config: hostPod()}, codes.OK},
		{"RunPodSandbox", &runtimeapi.RunPodSandboxRequest{Config: podtest.Sandbox("vm"), RuntimeHandler: "vm"}, codes.OK},
		{"StopPodSandbox", &runtimeapi.StopPodSandboxRequest{PodSandboxId: pod}, codes.OK},
		{"RemovePodSandbox", &runtimeapi.RemovePodSandboxRequest{PodSandboxId: pod}, codes.OK},
		{"PodSandboxStatus", &runtimeapi.PodSandboxStatusRequest{PodSandboxId: pod, Verbose: true}, codes.OK},
		{"ListPodSandbox", &runtimeapi.ListPodSandboxRequest{Filter: filter}, codes.OK},
		{"StreamPodSandboxes", &runtimeapi.StreamPodSandboxesRequest{Filter: filter}, codes.OK},
		{"UpdatePodSandboxResources", &runtimeapi.UpdatePodSandboxResourcesRequest{
			PodSandboxId: pod, Overhead: resources(), Resources: &runtimeapi.LinuxContainerResources{CpuShares: 512},
		}, codes.OK},
		{"PodSandboxStats", &runtimeapi.PodSandboxStatsRequest{PodSandboxId: pod}, codes.OK},
		{"ListPodSandboxStats", &runtimeapi.ListPodSandboxStatsRequest{Filter: &runtimeapi.PodSandboxStatsFilter{Id: pod}}, codes.OK},
		{"StreamPodSandboxStats", &runtimeapi.StreamPodSandboxStatsRequest{}, codes.OK},
		{"PortForward", &runtimeapi.PortForwardRequest{PodSandboxId: pod, Port: []int32{80}}, codes.OK},
		{"CheckpointPod", &runtimeapi.CheckpointPodRequest{PodSandboxId: pod, OutputPath: "/", ContainerIds: []string{"$running"}}, codes.OK},
		{"RestorePod", &runtimeapi.RestorePodRequest{CheckpointPath: "/", Config: podtest.Sandbox("restored")}, codes.NotFound},
	}
}

func containerSeeds() []seed {
	const running = "$running"
	filter := &runtimeapi.ContainerFilter{PodSandboxId: "$pod", State: &runtimeapi.ContainerStateValue{State: runtimeapi.ContainerState_CONTAINER_RUNNING}}
	create := func(cfg *runtimeapi.ContainerConfig) *runtimeapi.CreateContainerRequest {
		return &runtimeapi.CreateContainerRequest{PodSandboxId: "$pod", Config: cfg, SandboxConfig: podtest.Sandbox("web")}
	}
	return []seed{
		{"CreateContainer", create(containertest.Config("new")), codes.OK},
		{"CreateContainer", create(fullContainer()), codes.OK},
		{"CreateContainer", create(debugContainer()), codes.OK},
		{"StartContainer", &runtimeapi.StartContainerRequest{ContainerId: "$created"}, codes.OK},
		{"StopContainer", &runtimeapi.StopContainerRequest{ContainerId: running, Timeout: 30}, codes.OK},
		{"RemoveContainer", &runtimeapi.RemoveContainerRequest{ContainerId: running}, codes.OK},
		{"ListContainers", &runtimeapi.ListContainersRequest{Filter: filter}, codes.OK},
		{"StreamContainers", &runtimeapi.StreamContainersRequest{Filter: filter}, codes.OK},
		{"ContainerStatus", &runtimeapi.ContainerStatusRequest{ContainerId: "$exited", Verbose: true}, codes.OK},
		{"UpdateContainerResources", &runtimeapi.UpdateContainerResourcesRequest{
			ContainerId: running, Linux: resources(), Annotations: map[string]string{"key": "value"},
		}, codes.OK},
		{"ReopenContainerLog", &runtimeapi.ReopenContainerLogRequest{ContainerId: running}, codes.OK},
		{"ExecSync", &runtimeapi.ExecSyncRequest{ContainerId: running, Cmd: []string{"true"}, Timeout: 1}, codes.OK},
		{"Exec", &runtimeapi.ExecRequest{ContainerId: running, Cmd: []string{"sh"}, Tty: true, Stdin: true, Stdout: true}, codes.OK},
		{"Attach", &runtimeapi.AttachRequest{ContainerId: running, Stdout: true}, codes.OK},
		{"ContainerStats", &runtimeapi.ContainerStatsRequest{ContainerId: running}, codes.OK},
		{"ListContainerStats", &runtimeapi.ListContainerStatsRequest{Filter: &runtimeapi.ContainerStatsFilter{Id: running}}, codes.OK},
		{"StreamContainerStats", &runtimeapi.StreamContainerStatsRequest{}, codes.OK},
		{"CheckpointContainer", &runtimeapi.CheckpointContainerRequest{ContainerId: running, Location: "/archive.tar", Timeout: 10}, codes.OK},
	}
}

// fullPod has each option of pods that does not exclude another.
func fullPod() *runtimeapi.PodSandboxConfig {
	cfg := podtest.SharedPID("full")
	cfg.DnsConfig = &runtimeapi.DNSConfig{Servers: []string{"10.0.0.10"}, Searches: []string{"svc"}, Options: []string{"ndots:5"}}
	cfg.PortMappings = []*runtimeapi.PortMapping{{Protocol: runtimeapi.Protocol_UDP, ContainerPort: 53, HostPort: 5353, HostIp: "::1"}}
	cfg.Annotations = map[string]string{"kubernetes.io/ingress-bandwidth": "1M"}
	l := cfg.Linux
	l.Sysctls = map[string]string{"net.ipv4.conf.eth0.rp_filter": "0", "kernel.shmmax": "1"}
	l.Overhead, l.Resources = resources(), resources()
	sc := l.SecurityContext
	sc.SelinuxOptions = &runtimeapi.SELinuxOption{User: "u", Role: "r", Type: "t", Level: "s0:c1,c2"}
	sc.RunAsUser, sc.RunAsGroup = &runtimeapi.Int64Value{Value: 1000}, &runtimeapi.Int64Value{Value: 1000}
	sc.ReadonlyRootfs, sc.SupplementalGroups = true, []int64{2000}
	sc.SupplementalGroupsPolicy = runtimeapi.SupplementalGroupsPolicy_Strict
	sc.Apparmor = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
	sc.NamespaceOptions.UsernsOptions = userns()
	return cfg
}

func hostPod() *runtimeapi.PodSandboxConfig {
	const host = runtimeapi.NamespaceMode_NODE
	cfg := podtest.Sandbox("host")
	cfg.Hostname = ""
	cfg.Linux.SecurityContext = &runtimeapi.LinuxSandboxSecurityContext{
		Privileged: true, NamespaceOptions: &runtimeapi.NamespaceOption{Network: host, Pid: host, Ipc: host},
	}
	return cfg
}

func userns() *runtimeapi.UserNamespace {
	ids := []*runtimeapi.IDMapping{{HostId: 655360, Length: 65536}}
	return &runtimeapi.UserNamespace{Uids: ids, Gids: ids}
}

func resources() *runtimeapi.LinuxContainerResources {
	return &runtimeapi.LinuxContainerResources{
		CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512, MemoryLimitInBytes: 64 << 20, MemorySwapLimitInBytes: 64 << 20, OomScoreAdj: 900,
	}
}

// fullContainer has each option of containers that does not exclude another.
func fullContainer() *runtimeapi.ContainerConfig {
	cfg := containertest.Config("full")
	cfg.Command, cfg.Args, cfg.WorkingDir = []string{"/bin/sh"}, []string{"-c", "true"}, "/srv"
	cfg.Envs = []*runtimeapi.KeyValue{{Key: "A", Value: []byte("b")}}
	cfg.Mounts = []*runtimeapi.Mount{
		{ContainerPath: "/data", HostPath: "/data", Readonly: true, RecursiveReadOnly: true, SelinuxRelabel: true, MountOptions: []string{"noexec"}},
		{ContainerPath: "/both", HostPath: "/both", Propagation: runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL},
	}
	cfg.Devices = []*runtimeapi.Device{{HostPath: "/dev/null", ContainerPath: "/dev/nothing", Permissions: "rw"}}
	cfg.Annotations = map[string]string{"key": "value"}
	cfg.StopSignal, cfg.Stdin, cfg.Tty = runtimeapi.Signal_SIGNAL_SIGINT, true, true
	l := cfg.Linux
	l.Resources = resources()
	sc := l.SecurityContext
	sc.Capabilities = &runtimeapi.Capability{
		AddCapabilities: []string{"KILL"}, DropCapabilities: []string{"ALL"}, AddAmbientCapabilities: []string{"KILL"},
	}
	sc.SelinuxOptions = &runtimeapi.SELinuxOption{Level: "s0:c3,c4"}
	sc.RunAsUser, sc.RunAsGroup = &runtimeapi.Int64Value{Value: 1000}, &runtimeapi.Int64Value{Value: 1000}
	sc.SupplementalGroups, sc.SupplementalGroupsPolicy = []int64{2000}, runtimeapi.SupplementalGroupsPolicy_Strict
	sc.ReadonlyRootfs, sc.NoNewPrivs = true, true
	sc.MaskedPaths, sc.ReadonlyPaths = []string{"/proc/kcore"}, []string{"/proc/sys"}
	sc.Seccomp = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: "/profile.json"}
	sc.Apparmor = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: "custom"}
	return cfg
}

// debugContainer joins another's processes, and mounts an image.
func debugContainer() *runtimeapi.ContainerConfig {
	cfg := containertest.Config("debug")
	cfg.Linux.SecurityContext.NamespaceOptions = &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_TARGET, TargetId: "$running"}
	cfg.Linux.SecurityContext.RunAsUsername = "root"
	cfg.Mounts = []*runtimeapi.Mount{{ContainerPath: "/image", Image: appSpec(), Readonly: true}}
	return cfg
}
