package config

import (
	"maps"
	"slices"
	"strings"
)

func (r *Runtime) validate(check *checker) {
	check.absoluteIfSet("runtime.socket", r.Socket)
	if _, ok := r.Handlers[r.DefaultHandler]; !ok {
		check.add("runtime.default_runtime_name", "%q is not in runtime.runtimes", r.DefaultHandler)
	}
	check.oneOf("runtime.cgroup_driver", r.CgroupDriver, "", "cgroupfs", "systemd")
	check.positive("runtime.stop_timeout", r.StopTimeout)
	check.positive("runtime.create_timeout", r.CreateTimeout)
	check.positive("runtime.drain_timeout", r.DrainTimeout)
	profile := r.UnsetSeccompProfile
	if path, ok := strings.CutPrefix(profile, "localhost/"); ok {
		check.absolute("runtime.unset_seccomp_profile", path)
	} else {
		check.oneOf("runtime.unset_seccomp_profile", profile, "", "unconfined", "runtime/default")
	}
	check.absoluteIfSet("runtime.privileged_seccomp_profile", r.PrivilegedSeccompProfile)
	if r.SELinuxCategoryRange < 2 || r.SELinuxCategoryRange > 1024 {
		check.add("runtime.selinux_category_range", "%d is not between 2 and 1024", r.SELinuxCategoryRange)
	}
	for _, dir := range r.CDISpecDirs {
		check.absolute("runtime.cdi_spec_dirs", dir)
	}
	check.absoluteIfSet("runtime.rdt_config_file", r.RDTConfigFile)
	check.absoluteIfSet("runtime.blockio_config_file", r.BlockIOConfigFile)
	for _, variable := range r.DefaultEnv {
		if name, _, ok := strings.Cut(variable, "="); !ok || name == "" {
			check.add("runtime.default_env", "%q is not NAME=VALUE", variable)
		} else if strings.ContainsRune(variable, 0) {
			check.add("runtime.default_env", "%q has a zero byte", variable)
		}
	}
	r.validateUlimits(check)
	r.validateCapabilities(check)
	r.validateDevices(check)
	for _, path := range r.AbsentMountSources {
		check.absolute("runtime.absent_mount_sources_to_reject", path)
	}
	check.absoluteIfSet("runtime.bind_mount_prefix", r.BindMountPrefix)
	check.absolute("runtime.kubelet_root", r.KubeletRoot)
	r.validateSysctls(check)
	check.absoluteIfSet("runtime.default_mounts_file", r.DefaultMountsFile)
	for _, dir := range r.HooksDir {
		check.absolute("runtime.hooks_dir", dir)
	}
	r.validateLimits(check)
	if strings.HasPrefix(r.Timezone, "/") || strings.ContainsRune(r.Timezone, 0) || slices.Contains(strings.Split(r.Timezone, "/"), "..") {
		check.add("runtime.timezone", "%q is not the name of a time zone", r.Timezone)
	}
	check.cpuset("runtime.infra_ctr_cpuset", r.InfraCtrCPUSet)
	check.cpuset("runtime.shared_cpuset", r.SharedCPUSet)
	check.absolute("runtime.irqbalance_config_file", r.IRQBalanceConfigFile)
	if r.IRQBalanceRestoreFile != "disable" {
		check.absoluteIfSet("runtime.irqbalance_config_restore_file", r.IRQBalanceRestoreFile)
	}
	check.notNegative("runtime.min_injected_gomaxprocs", r.MinInjectedGoMaxProcs)
	r.Workloads.validate(check)
	for _, name := range slices.Sorted(maps.Keys(r.Handlers)) {
		h := r.Handlers[name]
		h.validate(check, "runtime.runtimes."+name)
	}
}

func (h *Handler) validate(check *checker, key string) {
	if h.Type == "" {
		check.add(key+".runtime_type", "is empty")
	}
	check.absoluteIfSet(key+".runtime_path", h.Path)
	check.absoluteIfSet(key+".base_runtime_spec", h.BaseRuntimeSpec)
	check.absoluteIfSet(key+".seccomp_profile", h.SeccompProfile)
	check.absoluteIfSet(key+".cni_conf_dir", h.CNIConfDir)
	check.notNegative(key+".cni_max_conf_num", h.CNIMaxConfNum)
	check.notNegative(key+".container_min_memory", int(h.ContainerMinMemory))
	check.oneOf(key+".sandboxer", h.Sandboxer, "", "podsandbox", "shim")
	check.oneOf(key+".io_type", h.IOType, "", "fifo", "streaming")
	if h.IOType == "streaming" && h.Sandboxer != "shim" {
		check.add(key+".io_type", "%q needs sandboxer = %q: the streams are had at the sandbox's address", h.IOType, "shim")
	}
	check.absoluteIfSet(key+".options.CriuImagePath", h.Options.CriuImagePath)
	check.absoluteIfSet(key+".options.CriuWorkPath", h.Options.CriuWorkPath)
	check.absoluteIfSet(key+".options.ConfigPath", h.Options.ConfigPath)
	if h.Options.ConfigBody != "" && h.Options.ConfigPath != "" {
		check.add(key+".options.ConfigBody", "%.80q is set, and so is ConfigPath", h.Options.ConfigBody)
	}
	check.globs(key+".pod_annotations", h.PodAnnotations)
	check.globs(key+".container_annotations", h.ContainerAnnotations)
	check.annotations(key+".allowed_annotations", h.AllowedAnnotations)
	if value, ok := h.DefaultAnnotations[""]; ok {
		check.add(key+".default_annotations", "%q = %q has no name", "", value)
	}
	if h.ContainerCreateTimeout < 0 {
		check.add(key+".container_create_timeout", "%s is negative", h.ContainerCreateTimeout.Std())
	}
	h.validatePlatforms(check, key+".platform_runtime_paths")
}

func (h *Handler) validatePlatforms(check *checker, key string) {
	for _, platform := range slices.Sorted(maps.Keys(h.PlatformRuntimePaths)) {
		os, arch, ok := strings.Cut(platform, "/")
		if !ok || os == "" || arch == "" || strings.Contains(arch, "/") {
			check.add(key, "%q is not os/arch", platform)
		}
		check.absolute(key, h.PlatformRuntimePaths[platform])
	}
	if len(h.PlatformRuntimePaths) > 0 && !strings.HasPrefix(h.Type, "io.containerd.runc.") {
		check.add(key, "runtime_type %q has no OCI runtime to choose", h.Type)
	}
}

func (r *Runtime) validateLimits(check *checker) {
	if r.CtrStopTimeout < 0 {
		check.add("runtime.ctr_stop_timeout", "%s is negative", r.CtrStopTimeout.Std())
	}
	for _, size := range []struct {
		key   string
		bytes int
	}{
		{"runtime.grpc_max_send_message_size", r.GRPCMaxSendMessageSize},
		{"runtime.grpc_max_recv_message_size", r.GRPCMaxRecvMessageSize},
	} {
		if size.bytes < 1 {
			check.add(size.key, "%d is less than 1", size.bytes)
		}
	}
}

func (n *NRI) validate(check *checker) {
	check.absoluteIfSet("nri.socket_path", n.SocketPath)
	check.absoluteIfSet("nri.plugin_path", n.PluginPath)
	check.absoluteIfSet("nri.plugin_config_path", n.PluginConfigPath)
	check.positive("nri.plugin_registration_timeout", n.PluginRegistrationTimeout)
	check.positive("nri.plugin_request_timeout", n.PluginRequestTimeout)
	if n.Disable && len(n.RequiredPlugins) > 0 {
		check.add("nri.required_plugins", "%q cannot be had while nri.disable is set", n.RequiredPlugins)
	}
}
