package cri_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// TestBadPods: each is refused with the field and its value, before anything
// of it exists.
func TestBadPods(t *testing.T) {
	t.Parallel()
	type cfg = *runtimeapi.PodSandboxConfig
	sc := func(c cfg) *runtimeapi.LinuxSandboxSecurityContext { return c.Linux.SecurityContext }
	profile := func(kind int32, ref string) *runtimeapi.SecurityProfile {
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_ProfileType(kind), LocalhostRef: ref}
	}
	ids := func(host, inside, length uint32) *runtimeapi.IDMapping {
		return &runtimeapi.IDMapping{HostId: host, ContainerId: inside, Length: length}
	}
	maps := func(uids, gids []*runtimeapi.IDMapping) func(cfg) {
		return func(c cfg) {
			sc(c).NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{Uids: uids, Gids: gids}
		}
	}
	one := []*runtimeapi.IDMapping{ids(65536, 0, 65536)}
	port := func(p *runtimeapi.PortMapping) func(cfg) {
		return func(c cfg) { c.PortMappings = []*runtimeapi.PortMapping{p} }
	}
	for says, edit := range map[string]func(cfg){
		`metadata.name ""`:      func(c cfg) { c.Metadata.Name = "" },
		`metadata.namespace ""`: func(c cfg) { c.Metadata.Namespace = "" },
		`metadata.uid ""`:       func(c cfg) { c.Metadata.Uid = "" },
		`cgroup_parent "../up"`: func(c cfg) { c.Linux.CgroupParent = "../up" },

		`linux.overhead.cpu_period 5`:           func(c cfg) { c.Linux.Overhead = &runtimeapi.LinuxContainerResources{CpuPeriod: 5} },
		`linux.resources.cpuset_cpus "x"`:       func(c cfg) { c.Linux.Resources = &runtimeapi.LinuxContainerResources{CpusetCpus: "x"} },
		`linux.resources.oom_score_adj -1001`:   func(c cfg) { c.Linux.Resources = &runtimeapi.LinuxContainerResources{OomScoreAdj: -1001} },
		`namespace_options.network CONTAINER`:   func(c cfg) { sc(c).NamespaceOptions.Network = runtimeapi.NamespaceMode_CONTAINER },
		`namespace_options.ipc 9`:               func(c cfg) { sc(c).NamespaceOptions.Ipc = 9 },
		`namespace_options.pid TARGET`:          func(c cfg) { sc(c).NamespaceOptions.Pid = runtimeapi.NamespaceMode_TARGET },
		`userns_options.mode CONTAINER`:         func(c cfg) { sc(c).NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{Mode: 1} },
		`userns_options.uids[1].host_id 65537`:  maps([]*runtimeapi.IDMapping{ids(65536, 0, 5), ids(65537, 5, 5)}, one),
		`userns_options.gids[1].container_id 4`: maps(one, []*runtimeapi.IDMapping{ids(65536, 0, 5), ids(70000, 4, 5)}),
		`userns_options.uids[0].length 0`:       maps([]*runtimeapi.IDMapping{ids(65536, 0, 0)}, one),
		`userns_options.gids[0].host_id 429496`: maps(one, []*runtimeapi.IDMapping{ids(4294967000, 0, 1000)}),
		`userns_options.mode POD needs one uid`: maps(one, nil),

		`linux.sysctls "net.core.somaxconn, kernel.shmmax"`: nil, // below

		`run_as_user "-1"`:                  func(c cfg) { sc(c).RunAsUser = &runtimeapi.Int64Value{Value: -1} },
		`run_as_group "4294967296"`:         func(c cfg) { sc(c).RunAsGroup = &runtimeapi.Int64Value{Value: 1 << 32} },
		`supplemental_groups[1] -1`:         func(c cfg) { sc(c).SupplementalGroups = []int64{0, -1} },
		`supplemental_groups_policy 7`:      func(c cfg) { sc(c).SupplementalGroupsPolicy = 7 },
		`seccomp.profile_type 9`:            func(c cfg) { sc(c).Seccomp = profile(9, "") },
		`seccomp.localhost_ref "a"`:         func(c cfg) { sc(c).Seccomp = profile(2, "a") },
		`apparmor.profile_type 9`:           func(c cfg) { sc(c).Apparmor = profile(9, "") },
		`apparmor.localhost_ref "a"`:        func(c cfg) { sc(c).Apparmor = profile(0, "a") },
		`selinux_options.level "c1"`:        func(c cfg) { sc(c).SelinuxOptions = &runtimeapi.SELinuxOption{Level: "c1"} },
		`selinux_options.type "a,b"`:        func(c cfg) { sc(c).SelinuxOptions = &runtimeapi.SELinuxOption{Type: "a,b"} },
		`port_mappings[0].protocol 9`:       port(&runtimeapi.PortMapping{Protocol: 9}),
		`port_mappings[0].host_port 65536`:  port(&runtimeapi.PortMapping{HostPort: 65536, ContainerPort: 1}),
		`port_mappings[0].container_port -`: port(&runtimeapi.PortMapping{ContainerPort: -1}),
		`port_mappings[0].container_port 0`: port(&runtimeapi.PortMapping{HostPort: 80}),
		`port_mappings[0].host_ip "here"`:   port(&runtimeapi.PortMapping{HostPort: 80, ContainerPort: 80, HostIp: "here"}),
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c := podtest.Sandbox("web")
			if edit == nil {
				const host = runtimeapi.NamespaceMode_NODE
				sc(c).NamespaceOptions.Network, sc(c).NamespaceOptions.Ipc = host, host
				c.Linux.Sysctls = map[string]string{"net.core.somaxconn": "1", "kernel.shmmax": "1"}
				says = `linux.sysctls "kernel.shmmax, net.core.somaxconn"`
			} else {
				edit(c)
			}
			_, err := s.sandboxes.RunPodSandbox(t.Context(), &runtimeapi.RunPodSandboxRequest{Config: c})
			wrongWith(t, err, says)
			if left := s.Leftovers(); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// wrongWith wants ErrInvalidArgument that says so.
func wrongWith(t *testing.T, err error, says string) {
	t.Helper()
	if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want %s", err, says)
	}
}

// TestBadContainers is the same of containers.
func TestBadContainers(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	t.Cleanup(func() {
		if err := v.process.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := os.Symlink("loop", filepath.Join(v.dir, "loop")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../../etc", filepath.Join(v.ImageRoot(), "escape")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("round", filepath.Join(v.ImageRoot(), "round")); err != nil {
		t.Fatal(err)
	}
	before := v.Leftovers()
	for says, edit := range badContainers(v) {
		t.Run(says, func(t *testing.T) {
			c := containertest.Config("bad")
			edit(c)
			_, err := v.containers.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: v.places["$pod"], Config: c})
			wrongWith(t, err, says)
			if after := v.Leftovers(); !slices.Equal(after, before) {
				t.Errorf("left over: %v", after)
			}
		})
	}
}

func badContainers(v *victim) map[string]func(*runtimeapi.ContainerConfig) {
	type cfg = *runtimeapi.ContainerConfig
	sc := func(c cfg) *runtimeapi.LinuxContainerSecurityContext { return c.Linux.SecurityContext }
	mount := func(m *runtimeapi.Mount) func(cfg) {
		return func(c cfg) { c.Mounts = []*runtimeapi.Mount{m} }
	}
	device := func(host, permissions string) func(cfg) {
		return func(c cfg) { c.Devices = []*runtimeapi.Device{{HostPath: host, Permissions: permissions}} }
	}
	limits := func(r *runtimeapi.LinuxContainerResources) func(cfg) { return func(c cfg) { c.Linux.Resources = r } }
	caps := func(c *runtimeapi.Capability) func(cfg) { return func(o cfg) { sc(o).Capabilities = c } }
	image := &runtimeapi.ImageSpec{Image: containertest.Image}
	return map[string]func(cfg){
		`config.metadata.name`:     func(c cfg) { c.Metadata = nil },
		`working_dir "here"`:       func(c cfg) { c.WorkingDir = "here" },
		`command[0] "a\x00"`:       func(c cfg) { c.Command = []string{"a\x00"} },
		`envs[0].key "A=B"`:        func(c cfg) { c.Envs = []*runtimeapi.KeyValue{{Key: "A=B"}} },
		`config.stop_signal`:       func(c cfg) { c.StopSignal = 999 },
		`config.log_path "../out"`: func(c cfg) { c.LogPath = "../out" },

		`mounts[0].host_path "rel"`:                mount(&runtimeapi.Mount{HostPath: "rel", ContainerPath: "/c"}),
		`mounts[0].container_path "c"`:             mount(&runtimeapi.Mount{HostPath: "/h", ContainerPath: "c"}),
		`mounts[0].propagation 7`:                  mount(&runtimeapi.Mount{HostPath: "/h", ContainerPath: "/c", Propagation: 7}),
		`mounts[0].recursive_read_only`:            mount(&runtimeapi.Mount{HostPath: "/h", ContainerPath: "/c", RecursiveReadOnly: true}),
		`mounts[0].mount_options[0] "suid"`:        mount(&runtimeapi.Mount{HostPath: "/h", ContainerPath: "/c", MountOptions: []string{"suid"}}),
		`mounts[0].host_path "` + v.dir + `/loop"`: mount(&runtimeapi.Mount{HostPath: v.dir + "/loop", ContainerPath: "/c"}),
		`mounts[0].image_sub_path "round"`:         mount(&runtimeapi.Mount{Image: image, ImageSubPath: "round", ContainerPath: "/c"}),
		`mounts[0].image_sub_path "../up"`:         mount(&runtimeapi.Mount{Image: image, ImageSubPath: "../up", ContainerPath: "/c"}),
		`mounts[0].image_sub_path "escape/passwd"`: mount(&runtimeapi.Mount{Image: image, ImageSubPath: "escape/passwd", ContainerPath: "/c"}),
		`mounts[0].uidMappings[1].host_id`: mount(&runtimeapi.Mount{
			HostPath: "/h", ContainerPath: "/c",
			UidMappings: []*runtimeapi.IDMapping{{HostId: 1, Length: 5}, {HostId: 3, ContainerId: 9, Length: 5}},
			GidMappings: []*runtimeapi.IDMapping{{HostId: 1, Length: 5}},
		}),

		`devices[0].permissions "x"`:   device("/dev/null", "x"),
		`devices[0].host_path "null"`:  device("null", "rw"),
		`devices[0].host_path "/none"`: device("/none", "rw"),
		`annotations "cdi.k8s.io/"`:    func(c cfg) { c.Annotations = map[string]string{"cdi.k8s.io/a": "nonsense"} },

		`linux.resources.cpu_period 5`:              limits(&runtimeapi.LinuxContainerResources{CpuPeriod: 5}),
		`linux.resources.cpu_quota -2`:              limits(&runtimeapi.LinuxContainerResources{CpuQuota: -2}),
		`linux.resources.memory_limit_in_bytes 1`:   limits(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 1}),
		`linux.resources.oom_score_adj 1001`:        limits(&runtimeapi.LinuxContainerResources{OomScoreAdj: 1001}),
		`linux.resources.cpuset_cpus "9-1"`:         limits(&runtimeapi.LinuxContainerResources{CpusetCpus: "9-1"}),
		`linux.resources.unified "cgroup.procs"`:    limits(&runtimeapi.LinuxContainerResources{Unified: map[string]string{"cgroup.procs": "1"}}),
		`capabilities.add_capabilities[0] "FLY"`:    caps(&runtimeapi.Capability{AddCapabilities: []string{"FLY"}}),
		`capabilities.add_ambient_capabilities "SY`: caps(&runtimeapi.Capability{AddAmbientCapabilities: []string{"SYS_ADMIN"}}),

		`linux.security_context.privileged true`: func(c cfg) { sc(c).Privileged = true },
		`namespace_options.pid 9`:                func(c cfg) { sc(c).NamespaceOptions.Pid = 9 },
		`namespace_options.network 9`:            func(c cfg) { sc(c).NamespaceOptions.Network = 9 },
		`userns_options`: func(c cfg) {
			sc(c).NamespaceOptions.UsernsOptions = userns()
		},
		`masked_paths[0] "proc"`:        func(c cfg) { sc(c).MaskedPaths = []string{"proc"} },
		`readonly_paths[0] "/a\x00"`:    func(c cfg) { sc(c).ReadonlyPaths = []string{"/a\x00"} },
		`seccomp.profile_type 9`:        func(c cfg) { sc(c).Seccomp = &runtimeapi.SecurityProfile{ProfileType: 9} },
		`seccomp.localhost_ref "x"`:     func(c cfg) { sc(c).Seccomp = &runtimeapi.SecurityProfile{ProfileType: 2, LocalhostRef: "x"} },
		`apparmor.profile_type 9`:       func(c cfg) { sc(c).Apparmor = &runtimeapi.SecurityProfile{ProfileType: 9} },
		`selinux_options.user "a:b"`:    func(c cfg) { sc(c).SelinuxOptions = &runtimeapi.SELinuxOption{User: "a:b"} },
		`run_as_user "2147483648"`:      func(c cfg) { sc(c).RunAsUser = &runtimeapi.Int64Value{Value: 1 << 31} },
		`run_as_username "nobody"`:      func(c cfg) { sc(c).RunAsUsername = "nobody" },
		`run_as_group "5"`:              func(c cfg) { sc(c).RunAsGroup = &runtimeapi.Int64Value{Value: 5} },
		`supplemental_groups "-1"`:      func(c cfg) { sc(c).SupplementalGroups = []int64{-1} },
		`supplemental_groups_policy "9`: func(c cfg) { sc(c).SupplementalGroupsPolicy = 9 },
	}
}
