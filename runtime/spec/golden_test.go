package spec_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/spec"
	"github.com/trivet-cri/trivet/runtime/users"
)

var update = flag.Bool("update", false, "write testdata/*.json anew")

// golden compares s with testdata/NAME.json. The system calls of the default
// seccomp profile depend on processor and kernel, so only its presence counts.
func golden(t *testing.T, name string, s *specs.Spec) {
	t.Helper()
	if s.Linux.Seccomp != nil {
		s.Linux.Seccomp.Syscalls, s.Linux.Seccomp.Architectures = nil, nil
	}
	got, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	file := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs; -update writes it anew. Got:\n%s", file, got)
	}
}

// userns makes pod and container use a user namespace.
func userns(in *spec.Input) {
	ids := []*runtimeapi.IDMapping{{HostId: 655360, ContainerId: 0, Length: 65536}}
	options := &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD, Uids: ids, Gids: ids}
	in.Pod.Linux.SecurityContext.NamespaceOptions.UsernsOptions = options
	security(in).NamespaceOptions.UsernsOptions = options
	in.Namespaces.User = "/run/trivet/pods/b/user"
}

// hostNetwork makes the pod use the host's network.
func hostNetwork(in *spec.Input) {
	in.Pod.Hostname = ""
	in.Pod.Linux.SecurityContext.NamespaceOptions.Network = runtimeapi.NamespaceMode_NODE
	security(in).NamespaceOptions.Network = runtimeapi.NamespaceMode_NODE
	in.Namespaces.Network, in.Namespaces.UTS = "", ""
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*spec.Input){
		"plain":        func(*spec.Input) {},
		"host-network": hostNetwork,
		"userns":       userns,
		"userns-host-network": func(in *spec.Input) {
			hostNetwork(in)
			userns(in)
		},
		"privileged": func(in *spec.Input) {
			privilege(in)
			in.Host.CgroupV2, in.Host.CgroupOptions = true, []string{"nsdelegate", "memory_recursiveprot"}
		},
		"host-namespaces": func(in *spec.Input) {
			hostNetwork(in)
			options := in.Pod.Linux.SecurityContext.NamespaceOptions
			options.Pid, options.Ipc = runtimeapi.NamespaceMode_NODE, runtimeapi.NamespaceMode_NODE
			security(in).NamespaceOptions = options
			in.Namespaces = spec.Namespaces{}
			in.Files.Shm = "/dev/shm"
		},
		"tty": func(in *spec.Input) {
			in.Config.Tty = true
			in.Config.Command, in.Config.Args = []string{"/bin/sh"}, nil
			in.Config.WorkingDir = "/tmp"
		},
		"non-root": func(in *spec.Input) {
			in.User = users.Resolved{UID: 1000, GID: 1001, AdditionalGIDs: []uint32{10, 1001}}
			sc := security(in)
			sc.RunAsUser = &runtimeapi.Int64Value{Value: 1000}
			sc.Capabilities = &runtimeapi.Capability{DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"NET_BIND_SERVICE"}}
			sc.NoNewPrivs, sc.ReadonlyRootfs = true, true
			sc.Seccomp = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
			sc.Apparmor = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: "k8s-custom"}
			in.SELinux = spec.SELinux{ProcessLabel: "system_u:system_r:container_t:s0:c1,c2", MountLabel: "system_u:object_r:container_file_t:s0:c1,c2"}
		},
		"systemd": func(in *spec.Input) {
			in.Systemd, in.Host.CgroupV2 = true, true
			in.Pod.Linux.CgroupParent = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod5e0ee7b4.slice"
			in.Config.Linux.Resources.Unified = map[string]string{"memory.high": "60000000"}
			in.Config.Linux.Resources.HugepageLimits = []*runtimeapi.HugepageLimit{{PageSize: "2MB", Limit: 4 << 20}}
			in.Config.Linux.Resources.CpusetCpus = "0-1"
		},
		"mounts": func(in *spec.Input) {
			in.Config.Mounts = []*runtimeapi.Mount{
				{ContainerPath: "/var/lib/data/sub", HostPath: "/host/sub"},
				{ContainerPath: "/var/lib/data", HostPath: "/host/data", Readonly: true},
				{ContainerPath: "/etc/hosts", HostPath: "/var/lib/kubelet/pods/5e0ee7b4/etc-hosts"},
				{ContainerPath: "/csi", HostPath: "/shared", Propagation: runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL},
				{ContainerPath: "/sealed", HostPath: "/host/sealed", Readonly: true, RecursiveReadOnly: true, MountOptions: []string{"nosuid", "noexec"}},
			}
			in.Config.Devices = []*runtimeapi.Device{{HostPath: "/dev/snd", ContainerPath: "/dev/audio", Permissions: "rw"}}
			in.Volumes = []spec.Volume{{HostPath: "/var/lib/trivet/volumes/1", ContainerPath: "srv/uploads"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			change(&in)
			golden(t, name, build(t, in))
		})
	}
}

func TestGoldenPause(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*spec.PauseInput){
		"pause": func(*spec.PauseInput) {},
		"pause-vm": func(in *spec.PauseInput) {
			in.Namespaces = spec.Namespaces{Network: in.Namespaces.Network}
			in.Handler.Type = "io.containerd.kata.v2"
			in.Sysctls = map[string]string{"net.core.somaxconn": "1024"}
			in.Pod.Linux.Resources = &runtimeapi.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 200000, CpuShares: 2048, MemoryLimitInBytes: 1 << 30}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := pause()
			change(&in)
			s, err := spec.BuildPause(in)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, s)
		})
	}
}

// pause is the pause container of plain's pod.
func pause() spec.PauseInput {
	in := plain()
	in.Pod.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
	in.Pod.LogDirectory = "/var/log/pods/shop_web-0_5e0ee7b4"
	return spec.PauseInput{
		ID: in.PodID, Pod: in.Pod,
		Image:     ocispec.ImageConfig{Entrypoint: []string{"/pause"}, Env: []string{"PATH=/bin"}, User: "65535:65535"},
		ImageName: "registry.k8s.io/pause:3.10.2",
		Handler:   in.Handler, Runtime: in.Runtime,
		Namespaces: in.Namespaces,
		Files:      in.Files,
		User:       users.Resolved{UID: 65535, GID: 65535, AdditionalGIDs: []uint32{65535}},
		Host:       in.Host,
	}
}
