package migration

import (
	"slices"
	"strings"
)

// own are the keys of containerd that are not the CRI's: Trivet runs on that
// containerd, whose file keeps them. Below a key everything is its own.
var own = map[string]string{
	"io.containerd.differ.v1.erofs":              "mkfs_options enable_tar_index enable_dmverity",
	"io.containerd.gc.v1.scheduler":              "pause_threshold deletion_threshold mutation_threshold schedule_delay startup_delay",
	"io.containerd.image-verifier.v1.bindir":     "bin_dir max_verifiers per_verifier_timeout",
	"io.containerd.internal.v1.opt":              "path",
	"io.containerd.internal.v1.restart":          "interval",
	"io.containerd.internal.v1.tracing":          "sampling_ratio service_name",
	"io.containerd.metadata.v1.bolt":             "content_sharing_policy no_sync",
	"io.containerd.metrics.v1.grpc-prometheus":   "grpc_histogram",
	"io.containerd.monitor.container.v1.restart": "interval",
	"io.containerd.monitor.task.v1.cgroups":      "no_prometheus",
	"io.containerd.monitor.v1.cgroups":           "no_prometheus",
	"io.containerd.mount-handler.v1.erofs":       "",
	"io.containerd.runtime.v1.linux":             "shim runtime runtime_root no_shim shim_debug",
	"io.containerd.runtime.v2.task":              "platforms sched_core",
	"io.containerd.runtime.v2.shim":              "env socket_dir",
	"io.containerd.server.v1.debug":              "address uid gid",
	grpcPlugin:                                   "address uid gid max_recv_message_size max_send_message_size",
	"io.containerd.server.v1.grpc-tcp":           "address tls_ca tls_cert tls_key tls_common_name max_recv_message_size max_send_message_size",
	"io.containerd.server.v1.metrics":            "address",
	"io.containerd.server.v1.ttrpc":              "address uid gid",
	"io.containerd.service.v1.diff-service":      "default sync_fs",
	tasksPlugin:                                  "blockio_config_file rdt_config_file",
	"io.containerd.shim.v1.manager":              "env socket_dir",
	"io.containerd.snapshotter.v1.aufs":          "root_path",
	"io.containerd.snapshotter.v1.blockfile":     "root_path scratch_file fs_type mount_options recreate_scratch",
	"io.containerd.snapshotter.v1.btrfs":         "root_path",
	"io.containerd.snapshotter.v1.devmapper":     "root_path pool_name base_image_size async_remove discard_blocks fs_type fs_options",
	"io.containerd.snapshotter.v1.erofs":         "root_path ovl_mount_options enable_fsverity set_immutable default_size dmverity_mode layer_content_caches",
	"io.containerd.snapshotter.v1.native":        "root_path",
	"io.containerd.snapshotter.v1.overlayfs":     "root_path upperdir_label sync_remove slow_chown mount_options",
	"io.containerd.snapshotter.v1.zfs":           "root_path",
	"io.containerd.tracing.processor.v1.otlp":    "endpoint protocol insecure",
	transferPlugin:                               "max_concurrent_downloads concurrent_layer_fetch_buffer max_concurrent_uploaded_layers check_platform_supported unpack_config config_path max_concurrent_unpacks",
}

// topLevel are the keys and tables beside plugins.
var topLevel = []path{
	{"version"},
	{"root"},
	{"temp"},
	{"plugin_dir"},
	{"oom_score"},
	{"imports"},
	{"disabled_plugins"},
	{"required_plugins"},
	{"cgroup", "path"},
	{"debug", "level"},
	{"debug", "format"},
	{"debug", "log_trace_id"},
	{"debug", "address"},
	{"debug", "uid"},
	{"debug", "gid"},
	{"metrics", "address"},
	{"metrics", "grpc_histogram"},
	{"ttrpc", "address"},
	{"ttrpc", "uid"},
	{"ttrpc", "gid"},
	{"grpc", "address"},
	{"grpc", "tcp_address"},
	{"grpc", "tcp_tls_ca"},
	{"grpc", "tcp_tls_cert"},
	{"grpc", "tcp_tls_key"},
	{"grpc", "tcp_tls_common_name"},
	{"grpc", "uid"},
	{"grpc", "gid"},
	{"grpc", "max_recv_message_size"},
	{"grpc", "max_send_message_size"},
	{"proxy_plugins", "*", "type"},
	{"proxy_plugins", "*", "address"},
	{"proxy_plugins", "*", "platform"},
	{"proxy_plugins", "*", "exports", "**"},
	{"proxy_plugins", "*", "capabilities"},
	{"timeouts", "*"},
	{"stream_processors", "*", "accepts"},
	{"stream_processors", "*", "returns"},
	{"stream_processors", "*", "path"},
	{"stream_processors", "*", "args"},
	{"stream_processors", "*", "env"},
}

// stays tells whether p is a key of containerd that is not the CRI's.
func stays(p path) bool {
	if p[0] != "plugins" {
		return slices.ContainsFunc(topLevel, func(pattern path) bool { return p.matches(pattern) })
	}
	if len(p) < 2 {
		return true // no plugins at all
	}
	keys, ok := own[p[1]]
	return ok && (len(p) == 2 || slices.ContainsFunc(strings.Fields(keys), func(key string) bool { return strings.EqualFold(key, p[2]) }))
}
