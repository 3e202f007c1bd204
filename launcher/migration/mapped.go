package migration

import "github.com/trivet-cri/trivet/internal/config"

// counterpart is a key of containerd's with the field of Trivet's
// configuration that means the same.
type counterpart struct {
	path  path
	field func(*config.Config) any // pointer to it
}

func same(field func(*config.Config) any, p ...string) counterpart {
	return counterpart{path: append(path{"plugins"}, p...), field: field}
}

// counterparts are the keys whose value is taken over as it is.
var counterparts = []counterpart{
	same(func(c *config.Config) any { return &c.Containerd.Socket }, grpcPlugin, "address"),
	{path: path{"state"}, field: func(c *config.Config) any { return &c.Containerd.State }},

	same(func(c *config.Config) any { return &c.Runtime.EnableSELinux }, runtimePlugin, "enable_selinux"),
	same(func(c *config.Config) any { return &c.Runtime.SELinuxCategoryRange }, runtimePlugin, "selinux_category_range"),
	same(func(c *config.Config) any { return &c.Runtime.MaxContainerLogLineSize }, runtimePlugin, "max_container_log_line_size"),
	same(func(c *config.Config) any { return &c.Runtime.DisableAppArmor }, runtimePlugin, "disable_apparmor"),
	same(func(c *config.Config) any { return &c.Runtime.RestrictOOMScoreAdj }, runtimePlugin, "restrict_oom_score_adj"),
	same(func(c *config.Config) any { return &c.Runtime.DisableProcMount }, runtimePlugin, "disable_proc_mount"),
	same(func(c *config.Config) any { return &c.Runtime.UnsetSeccompProfile }, runtimePlugin, "unset_seccomp_profile"),
	same(func(c *config.Config) any { return &c.Runtime.TolerateMissingHugetlb }, runtimePlugin, "tolerate_missing_hugetlb_controller"),
	same(func(c *config.Config) any { return &c.Runtime.DisableHugetlbController }, runtimePlugin, "disable_hugetlb_controller"),
	same(func(c *config.Config) any { return &c.Runtime.DeviceOwnership }, runtimePlugin, "device_ownership_from_security_context"),
	same(func(c *config.Config) any { return &c.Runtime.IgnoreImageVolumes }, runtimePlugin, "ignore_image_defined_volumes"),
	same(func(c *config.Config) any { return &c.Runtime.EnableUnprivilegedPorts }, runtimePlugin, "enable_unprivileged_ports"),
	same(func(c *config.Config) any { return &c.Runtime.EnableUnprivilegedICMP }, runtimePlugin, "enable_unprivileged_icmp"),
	same(func(c *config.Config) any { return &c.Runtime.CDISpecDirs }, runtimePlugin, "cdi_spec_dirs"),
	same(func(c *config.Config) any { return &c.Runtime.EnableCRIU }, runtimePlugin, "enable_criu"),
	same(func(c *config.Config) any { return &c.Streamer.ExecSyncDrain }, runtimePlugin, "drain_exec_sync_io_timeout"),
	same(func(c *config.Config) any { return &c.Runtime.IgnoreRDTNotEnabled }, runtimePlugin, "containerd", "ignore_rdt_not_enabled_errors"),
	same(func(c *config.Config) any { return &c.Runtime.IgnoreBlockIONotEnabled }, runtimePlugin, "containerd", "ignore_blockio_not_enabled_errors"),
	same(func(c *config.Config) any { return &c.Runtime.RDTConfigFile }, tasksPlugin, "rdt_config_file"),
	same(func(c *config.Config) any { return &c.Runtime.BlockIOConfigFile }, tasksPlugin, "blockio_config_file"),

	same(func(c *config.Config) any { return &c.CNI.BinDirs }, runtimePlugin, "cni", "bin_dirs"),
	same(func(c *config.Config) any { return &c.CNI.ConfDir }, runtimePlugin, "cni", "conf_dir"),
	same(func(c *config.Config) any { return &c.CNI.MaxConfNum }, runtimePlugin, "cni", "max_conf_num"),
	same(func(c *config.Config) any { return &c.CNI.SetupSerially }, runtimePlugin, "cni", "setup_serially"),
	same(func(c *config.Config) any { return &c.CNI.ConfTemplate }, runtimePlugin, "cni", "conf_template"),
	same(func(c *config.Config) any { return &c.CNI.IPPref }, runtimePlugin, "cni", "ip_pref"),

	same(func(c *config.Config) any { return &c.Image.Snapshotter }, imagesPlugin, "snapshotter"),
	same(func(c *config.Config) any { return &c.Image.ConfigPath }, imagesPlugin, "registry", "config_path"),
	same(func(c *config.Config) any { return &c.Image.MaxConcurrentDownload }, imagesPlugin, "max_concurrent_downloads"),
	same(func(c *config.Config) any { return &c.Image.PullProgressTimeout }, imagesPlugin, "image_pull_progress_timeout"),
	same(func(c *config.Config) any { return &c.Image.StatsCollectPeriod }, imagesPlugin, "stats_collect_period"),

	same(func(c *config.Config) any { return &c.Streamer.Address }, criPlugin, "stream_server_address"),
	same(func(c *config.Config) any { return &c.Streamer.Port }, criPlugin, "stream_server_port"),
	same(func(c *config.Config) any { return &c.Streamer.IdleTimeout }, criPlugin, "stream_idle_timeout"),
	same(func(c *config.Config) any { return &c.Streamer.EnableTLS }, criPlugin, "enable_tls_streaming"),

	same(func(c *config.Config) any { return &c.NRI.Disable }, nriPlugin, "disable"),
	same(func(c *config.Config) any { return &c.NRI.SocketPath }, nriPlugin, "socket_path"),
	same(func(c *config.Config) any { return &c.NRI.PluginPath }, nriPlugin, "plugin_path"),
	same(func(c *config.Config) any { return &c.NRI.PluginConfigPath }, nriPlugin, "plugin_config_path"),
	same(func(c *config.Config) any { return &c.NRI.PluginRegistrationTimeout }, nriPlugin, "plugin_registration_timeout"),
	same(func(c *config.Config) any { return &c.NRI.PluginRequestTimeout }, nriPlugin, "plugin_request_timeout"),
	same(func(c *config.Config) any { return &c.NRI.DisableConnections }, nriPlugin, "disable_connections"),
	same(func(c *config.Config) any { return &c.NRI.Validator.Enable }, nriPlugin, "default_validator", "enable"),
	same(func(c *config.Config) any { return &c.NRI.Validator.RejectOCIHooks }, nriPlugin, "default_validator", "reject_oci_hook_adjustment"),
	same(func(c *config.Config) any { return &c.NRI.Validator.RejectRuntimeDefaultSeccomp }, nriPlugin, "default_validator", "reject_runtime_default_seccomp_adjustment"),
	same(func(c *config.Config) any { return &c.NRI.Validator.RejectUnconfinedSeccomp }, nriPlugin, "default_validator", "reject_unconfined_seccomp_adjustment"),
	same(func(c *config.Config) any { return &c.NRI.Validator.RejectCustomSeccomp }, nriPlugin, "default_validator", "reject_custom_seccomp_adjustment"),
	same(func(c *config.Config) any { return &c.NRI.Validator.RejectNamespaces }, nriPlugin, "default_validator", "reject_namespace_adjustment"),
	same(func(c *config.Config) any { return &c.NRI.Validator.RejectSysctls }, nriPlugin, "default_validator", "reject_sysctl_adjustment"),
	same(func(c *config.Config) any { return &c.NRI.Validator.RequiredPlugins }, nriPlugin, "default_validator", "required_plugins"),
	same(func(c *config.Config) any { return &c.NRI.Validator.TolerateMissing }, nriPlugin, "default_validator", "tolerate_missing_plugins_annotation"),
}

// handlerField returns the field that a key in a runtime handler's table
// means, nil for none.
func handlerField(h *config.Handler, key string) any {
	return map[string]any{
		"runtime_type": &h.Type, "runtime_path": &h.Path, "sandboxer": &h.Sandboxer, "io_type": &h.IOType, "snapshotter": &h.Snapshotter,
		"pod_annotations": &h.PodAnnotations, "container_annotations": &h.ContainerAnnotations,
		"privileged_without_host_devices":                     &h.PrivilegedWithoutHostDevices,
		"privileged_without_host_devices_all_devices_allowed": &h.PrivilegedAllDevicesAllowed,
		"cgroup_writable": &h.CgroupWritable, "base_runtime_spec": &h.BaseRuntimeSpec,
		"cni_conf_dir": &h.CNIConfDir, "cni_max_conf_num": &h.CNIMaxConfNum,
	}[key]
}

// optionField is the same for options of the runc shim and of any other.
func optionField(h *config.Handler, key string) any {
	o := &h.Options
	if h.Type != runcShim {
		return map[string]any{"typeurl": &o.TypeURL, "configpath": &o.ConfigPath}[key]
	}
	return map[string]any{
		"binaryname": &o.BinaryName, "root": &o.Root, "systemdcgroup": &o.SystemdCgroup,
		"nopivotroot": &o.NoPivotRoot, "nonewkeyring": &o.NoNewKeyring, "shimcgroup": &o.ShimCgroup,
		"iouid": &o.IoUID, "iogid": &o.IoGID, "criuimagepath": &o.CriuImagePath, "criuworkpath": &o.CriuWorkPath,
	}[key]
}
