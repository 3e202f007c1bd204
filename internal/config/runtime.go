package config

import "time"

// Handler is one runtime handler (RuntimeClass).
type Handler struct {
	Type                         string   `toml:"runtime_type" comment:"containerd shim, for example io.containerd.runc.v2."`
	Path                         string   `toml:"runtime_path" comment:"Path of the shim binary. Empty: found by runtime_type."`
	Options                      Options  `toml:"options" comment:"Options of the shim."`
	Sandboxer                    string   `toml:"sandboxer" comment:"podsandbox: Trivet makes the pod's namespaces. shim: the shim makes the pod's sandbox (virtual machines)."`
	IOType                       string   `toml:"io_type" comment:"fifo: containers' streams go through FIFOs of this machine. streaming: over the streaming API of the shim that makes the sandbox (sandboxer = shim). Empty: fifo."`
	Snapshotter                  string   `toml:"snapshotter" comment:"Snapshotter of this handler's containers. Empty: image.snapshotter."`
	PodAnnotations               []string `toml:"pod_annotations" comment:"Globs of pod annotations that are passed into the OCI spec."`
	ContainerAnnotations         []string `toml:"container_annotations" comment:"Globs of container annotations that are passed into the OCI spec."`
	PrivilegedWithoutHostDevices bool     `toml:"privileged_without_host_devices" comment:"Give privileged containers no host devices."`
	PrivilegedAllDevicesAllowed  bool     `toml:"privileged_without_host_devices_all_devices_allowed" comment:"With privileged_without_host_devices: still let them use any device that they make."`
	CgroupWritable               bool     `toml:"cgroup_writable" comment:"Mount cgroups writable in containers that are not privileged (cgroup v2 only)."`
	SeccompProfile               string   `toml:"seccomp_profile" comment:"JSON file with the seccomp profile that is runtime/default for this handler. Empty: built in."`
	BaseRuntimeSpec              string   `toml:"base_runtime_spec" comment:"JSON file with the OCI spec that this handler's specs start from. Empty: built in."`
	ContainerMinMemory           Size     `toml:"container_min_memory" comment:"Least limit of memory that a container may ask for, for example 12MiB. Empty: 500KiB, in which the smallest OCI runtime starts."`
	CNIConfDir                   string   `toml:"cni_conf_dir" comment:"CNI configuration directory of this handler. Empty: cni.conf_dir."`
	CNIMaxConfNum                int      `toml:"cni_max_conf_num" comment:"Networks to use from cni_conf_dir, 0 for all."`
	AllowedAnnotations           []string `toml:"allowed_annotations" comment:"Annotations that may change a pod of this handler, for example devices.crio.io: names, globs, or prefixes that end in a dot. CRI-O's old spellings count as the new ones."`
	InheritDefaultRuntime        bool     `toml:"inherit_default_runtime" comment:"Take runtime_type, runtime_path and options that are not set from the default handler; a runtime_type that is set must be the same."`
	ContainerCreateTimeout       Duration `toml:"container_create_timeout" comment:"Deadline of creating a container when the client has set none. 0 for runtime.create_timeout."`

	DefaultAnnotations   map[string]string `toml:"default_annotations" comment:"Annotations of pods that do not set them. As those of a pod they take effect where allowed_annotations has them."`
	PlatformRuntimePaths map[string]string `toml:"platform_runtime_paths" comment:"OCI runtime binaries for images of other platforms, as os/arch = path, for example wasi/wasm."`
}

// Options are those of a handler's shim. The first group is for the runc shim,
// TypeUrl, ConfigPath and ConfigBody are for any other.
type Options struct {
	BinaryName    string `toml:"BinaryName" comment:"OCI runtime binary, for example crun. Empty: runc."`
	Root          string `toml:"Root" comment:"State directory of the OCI runtime. Empty: the shim's default."`
	SystemdCgroup bool   `toml:"SystemdCgroup" comment:"Make cgroups through systemd."`
	NoPivotRoot   bool   `toml:"NoPivotRoot" comment:"Do not use pivot_root (for a root file system on a RAM disk)."`
	NoNewKeyring  bool   `toml:"NoNewKeyring" comment:"Do not give each container a session keyring."`
	ShimCgroup    string `toml:"ShimCgroup" comment:"cgroup for the shims. Empty: that of containerd."`
	IoUID         uint32 `toml:"IoUid" comment:"Owner of the pipes between a container and its shim."`
	IoGID         uint32 `toml:"IoGid" comment:"Group of the pipes between a container and its shim."`
	CriuImagePath string `toml:"CriuImagePath" comment:"Directory where CRIU keeps images of a checkpoint under way. Empty: the shim's default."`
	CriuWorkPath  string `toml:"CriuWorkPath" comment:"Directory where CRIU works and logs. Empty: the shim's default."`
	TypeURL       string `toml:"TypeUrl" comment:"Type of the options that a shim other than runc's expects. Empty: containerd's generic runtime options."`
	ConfigPath    string `toml:"ConfigPath" comment:"Configuration file of a shim other than runc's."`
	ConfigBody    string `toml:"ConfigBody" comment:"Configuration of a shim other than runc's that has no file, as text."`
}

// Runtime configures the CRI service.
type Runtime struct {
	Socket                   string             `toml:"socket" comment:"CRI socket for the kubelet. Empty: trivet.sock in the state directory."`
	DefaultHandler           string             `toml:"default_runtime_name" comment:"Runtime handler of pods that name none."`
	Handlers                 map[string]Handler `toml:"runtimes" comment:"Runtime handlers by name."`
	CgroupDriver             string             `toml:"cgroup_driver" comment:"cgroupfs or systemd. Empty: as the default handler's SystemdCgroup says."`
	StopTimeout              Duration           `toml:"stop_timeout" comment:"How long a step of stopping (signal, SIGKILL, release) may take before the next one."`
	CreateTimeout            Duration           `toml:"create_timeout" comment:"Deadline of starting a pod or creating a container when the client has set none."`
	MaxContainerLogLineSize  int                `toml:"max_container_log_line_size" comment:"Bytes of a log line before it is split; 0 or less for no limit."`
	DrainTimeout             Duration           `toml:"drain_timeout" comment:"How long an exited container's output is waited for before the exit is reported."`
	EnableSELinux            bool               `toml:"enable_selinux" comment:"Set SELinux labels."`
	SELinuxCategoryRange     int                `toml:"selinux_category_range" comment:"SELinux categories to choose a pod's two from, 2 to 1024."`
	DisableAppArmor          bool               `toml:"disable_apparmor" comment:"Ignore AppArmor even where the kernel has it."`
	RestrictOOMScoreAdj      bool               `toml:"restrict_oom_score_adj" comment:"Never lower oom_score_adj below this process's own."`
	UnsetSeccompProfile      string             `toml:"unset_seccomp_profile" comment:"Seccomp profile of containers that ask for none: runtime/default, unconfined or localhost/PATH. Empty: unconfined."`
	PrivilegedSeccompProfile string             `toml:"privileged_seccomp_profile" comment:"JSON file with the seccomp profile of privileged containers. Empty: none."`
	EnableUnprivilegedPorts  bool               `toml:"enable_unprivileged_ports" comment:"Let containers with their own network bind ports below 1024 without a capability."`
	EnableUnprivilegedICMP   bool               `toml:"enable_unprivileged_icmp" comment:"Let containers with their own network ping without a capability."`
	DeviceOwnership          bool               `toml:"device_ownership_from_security_context" comment:"Give device nodes the uid and gid of the container's user."`
	IgnoreImageVolumes       bool               `toml:"ignore_image_defined_volumes" comment:"Do not make volumes that only the image declares."`
	DisableProcMount         bool               `toml:"disable_proc_mount" comment:"Ignore masked and read-only paths in the request, use the defaults."`
	TolerateMissingHugetlb   bool               `toml:"tolerate_missing_hugetlb_controller" comment:"Ignore hugepage limits when the kernel has no hugetlb cgroup."`
	DisableHugetlbController bool               `toml:"disable_hugetlb_controller" comment:"Ignore hugepage limits always."`
	CDISpecDirs              []string           `toml:"cdi_spec_dirs" comment:"Directories of CDI specifications; later ones win. Empty: no CDI."`
	RDTConfigFile            string             `toml:"rdt_config_file" comment:"File with RDT classes (goresctrl). Empty: RDT classes are refused."`
	BlockIOConfigFile        string             `toml:"blockio_config_file" comment:"File with block I/O classes (goresctrl). Empty: block I/O classes are refused."`
	IgnoreRDTNotEnabled      bool               `toml:"ignore_rdt_not_enabled_errors" comment:"Run containers that ask for an RDT class without one where RDT is not there."`
	IgnoreBlockIONotEnabled  bool               `toml:"ignore_blockio_not_enabled_errors" comment:"Run containers that ask for a block I/O class without one where none are configured."`
	EnableCRIU               bool               `toml:"enable_criu" comment:"Make and restore checkpoints where CRIU is there."`
	DefaultEnv               []string           `toml:"default_env" comment:"Environment of all containers, as NAME=VALUE; that of image and pod wins."`
	DefaultUlimits           []string           `toml:"default_ulimits" comment:"Limits of all containers, as name=soft:hard, for example nofile=1024:4096; -1 is unlimited. A limit of the same name in a handler's base_runtime_spec wins."`
	DefaultCapabilities      []string           `toml:"default_capabilities" comment:"Capabilities of containers before their pod adds and drops, for example CHOWN. Empty: the usual fourteen. Those of a handler's base_runtime_spec win."`
	InfraCtrCPUSet           string             `toml:"infra_ctr_cpuset" comment:"Processors of pause containers and runc's shims, for example 0-1. Empty: all."`
	SharedCPUSet             string             `toml:"shared_cpuset" comment:"Processors that containers with processors of their own get as well where cpu-shared.crio.io/CONTAINER is enable. Empty: none."`
	IRQBalanceConfigFile     string             `toml:"irqbalance_config_file" comment:"Configuration of irqbalance, which is told of containers without interrupts. Not used if it is not there."`
	IRQBalanceRestoreFile    string             `toml:"irqbalance_config_restore_file" comment:"Keeps the processors that irqbalance leaves alone by itself, to put them back after a reboot. Empty or disable: none."`
	MinInjectedGoMaxProcs    int                `toml:"min_injected_gomaxprocs" comment:"Least GOMAXPROCS that containers of burstable and best-effort pods without a limit of processor time get; twice their request if that is more. 0: none is set."`
	Workloads                Workloads          `toml:"workloads" comment:"Kinds of pods whose processor time is not the client's to say, by name."`
	DefaultSysctls           []string           `toml:"default_sysctls" comment:"Sysctls of all pods, as name=value, for example net.ipv4.ip_unprivileged_port_start=80; those of the pod win, and those of a namespace that the pod shares with the host are left out."`
	AddInheritableCaps       bool               `toml:"add_inheritable_capabilities" comment:"Make containers' capabilities inheritable as well, so that file capabilities give them to users who are not root."`
	ReadOnly                 bool               `toml:"read_only" comment:"Make root file systems of all containers read-only, with tmpfs that begin as copies on /run, /tmp and /var/tmp."`
	HostNetworkNoSELinux     bool               `toml:"hostnetwork_disable_selinux" comment:"Give containers with the host's network no SELinux label of their own."`
	Timezone                 string             `toml:"timezone" comment:"Zone of /usr/share/zoneinfo for /etc/localtime in containers, or Local for the host's. Empty: as the image has it."`
	AllowedDevices           []string           `toml:"allowed_devices" comment:"Devices that pods may ask for by the annotation devices.crio.io, as PATH[:TARGET][:ACCESS] with commas between, where the handler's allowed_annotations has it."`
	AdditionalDevices        []string           `toml:"additional_devices" comment:"Devices that all containers get, as PATH[:TARGET][:ACCESS], for example /dev/fuse:/dev/fuse:rw; the target is below /dev."`
	DisableHostPortMapping   bool               `toml:"disable_hostport_mapping" comment:"Do not ask CNI plugins for the pods' port mappings."`
	AbsentMountSources       []string           `toml:"absent_mount_sources_to_reject" comment:"Host paths that no directory is made of if they are missing: a container that mounts one is refused, for example /etc/hostname."`
	BindMountPrefix          string             `toml:"bind_mount_prefix" comment:"Where the host's root is if Trivet and containerd run in a container: sources of mounts are taken from below it. Empty: the root."`
	KubeletRoot              string             `toml:"kubelet_root" comment:"Root directory of the kubelet, for the volumes that link-logs.crio.io names."`
	DefaultMountsFile        string             `toml:"default_mounts_file" comment:"File with lines SOURCE[:TARGET]: each container gets a copy of what is at SOURCE, if it is there. Read at the start. Empty: none."`
	HooksDir                 []string           `toml:"hooks_dir" comment:"Directories of OCI hooks: JSON files of version 1.0.0, as Podman and CRI-O have them in /usr/share/containers/oci/hooks.d; of the same name the last counts. Changes are noticed. Empty: no hooks."`
	CtrStopTimeout           Duration           `toml:"ctr_stop_timeout" comment:"Least grace of a StopContainer that has any, between the stop signal and SIGKILL."`
	GRPCMaxSendMessageSize   int                `toml:"grpc_max_send_message_size" comment:"Bytes of the largest answer on the CRI socket."`
	GRPCMaxRecvMessageSize   int                `toml:"grpc_max_recv_message_size" comment:"Bytes of the largest request on the CRI socket."`
}

// NRI configures the plugins of the Node Resource Interface.
type NRI struct {
	Disable                   bool     `toml:"disable" comment:"Use no plugins."`
	SocketPath                string   `toml:"socket_path" comment:"Socket on which plugins register. Empty: nri.sock in the state directory; most plugins look at /var/run/nri/nri.sock."`
	PluginPath                string   `toml:"plugin_path" comment:"Directory of plugins that Trivet starts, and starts again when they end. It is read at the start."`
	PluginConfigPath          string   `toml:"plugin_config_path" comment:"Directory of their configurations: INDEX-NAME.conf or NAME.conf."`
	PluginRegistrationTimeout Duration `toml:"plugin_registration_timeout" comment:"How long a plugin may take to register."`
	PluginRequestTimeout      Duration `toml:"plugin_request_timeout" comment:"How long plugins may take for one hook, all of them together. One that takes longer is dropped; one that is not reached counts as not having answered."`
	DisableConnections        bool     `toml:"disable_connections" comment:"Start the plugins of plugin_path only, let none register itself."`
	RequiredPlugins           []string `toml:"required_plugins" comment:"Plugins without which no pod or container is created."`

	Validator NRIValidator `toml:"default_validator" comment:"NRI's built-in validator, which refuses containers for what plugins want of them."`
}

// NRIValidator configures NRI's built-in validator.
type NRIValidator struct {
	Enable                      bool     `toml:"enable" comment:"Use it. Without, the other keys of this section have no effect."`
	RejectOCIHooks              bool     `toml:"reject_oci_hook_adjustment" comment:"Let no plugin add OCI hooks."`
	RejectRuntimeDefaultSeccomp bool     `toml:"reject_runtime_default_seccomp_adjustment" comment:"Let no plugin change the seccomp profile of containers that ask for runtime/default."`
	RejectUnconfinedSeccomp     bool     `toml:"reject_unconfined_seccomp_adjustment" comment:"Let no plugin change the seccomp profile of containers that ask for unconfined, or for none."`
	RejectCustomSeccomp         bool     `toml:"reject_custom_seccomp_adjustment" comment:"Let no plugin change the seccomp profile of containers that ask for one of a file."`
	RejectNamespaces            bool     `toml:"reject_namespace_adjustment" comment:"Let no plugin change namespaces."`
	RejectSysctls               bool     `toml:"reject_sysctl_adjustment" comment:"Let no plugin change sysctls."`
	RequiredPlugins             []string `toml:"required_plugins" comment:"Plugins, without their index, without which no container is created; pods can name more by annotation. Unlike nri.required_plugins they need not answer."`
	TolerateMissing             string   `toml:"tolerate_missing_plugins_annotation" comment:"Pod annotation by which a pod or container does without them if it is true. Empty: none."`
}

func defaultRuntime() Runtime {
	return Runtime{
		DefaultHandler: "runc",
		Handlers: map[string]Handler{
			"runc": {Type: "io.containerd.runc.v2", Sandboxer: "podsandbox"},
		},
		StopTimeout:             Duration(10 * time.Second),
		CreateTimeout:           Duration(4 * time.Minute),
		MaxContainerLogLineSize: 16 * 1024,
		DrainTimeout:            Duration(2 * time.Second),
		SELinuxCategoryRange:    1024,
		EnableUnprivilegedPorts: true,
		EnableUnprivilegedICMP:  true,
		TolerateMissingHugetlb:  true,
		KubeletRoot:             "/var/lib/kubelet",
		IRQBalanceConfigFile:    "/etc/sysconfig/irqbalance",
		IRQBalanceRestoreFile:   "/etc/sysconfig/orig_irq_banned_cpus",
		CDISpecDirs:             []string{"/etc/cdi", "/var/run/cdi"},
		EnableCRIU:              true,
		GRPCMaxSendMessageSize:  80 << 20,
		GRPCMaxRecvMessageSize:  80 << 20,
		AllowedDevices:          []string{"/dev/fuse", "/dev/net/tun"},
	}
}

func defaultNRI() NRI {
	return NRI{
		PluginPath:                "/opt/nri/plugins",
		PluginConfigPath:          "/etc/nri/conf.d",
		PluginRegistrationTimeout: Duration(5 * time.Second),
		PluginRequestTimeout:      Duration(2 * time.Second),
	}
}
