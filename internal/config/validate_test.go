package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/trivet-cri/trivet/internal/config"
)

// Each mistake is alone in its file, and the message must lead to it: the
// file's name, the line, the dotted key, and what is wrong.
func TestEveryRuleNamesFileLineAndKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ table, line, want string }{
		{"", `version = 2`, `version: 2 is not 1, the version that this program reads`},
		{"", `root = "data"`, `root: "data" is not an absolute path`},
		{"", `root = ""`, `root: "" is not an absolute path`},
		{"", `state = "run"`, `state: "run" is not an absolute path`},
		{"log", `level = "loud"`, `log.level: "loud" is none of debug, info, warn, error`},
		{"log", `format = "xml"`, `log.format: "xml" is none of text, json`},
		{"tracing", `endpoint = "http://collector:4317"`, `tracing.endpoint: "http://collector:4317" is not host:port`},
		{"tracing", `endpoint = "collector"`, `tracing.endpoint: "collector" is not host:port`},
		{"tracing", `endpoint = ":4317"`, `tracing.endpoint: ":4317" is not host:port`},
		{"tracing", `endpoint = "collector:70000"`, `tracing.endpoint: "collector:70000" is not host:port`},
		{"tracing", `sample_ratio = 1.5`, `tracing.sample_ratio: 1.5 is not between 0 and 1`},
		{"tracing", `sample_ratio = -0.1`, `tracing.sample_ratio: -0.1 is not between 0 and 1`},
		{"tracing", `sample_ratio = nan`, `tracing.sample_ratio: NaN is not between 0 and 1`},
		{"launcher", `socket = "x.sock"`, `launcher.socket: "x.sock" is not an absolute path`},
		{"launcher", `bin_dir = "bin"`, `launcher.bin_dir: "bin" is not an absolute path`},
		{"launcher", `critical = ["netsync", "kubelet"]`, `launcher.critical: "kubelet" is none of netsync, streamer, runtime`},
		{"launcher", `start_timeout = "0s"`, `launcher.start_timeout: 0s is not a positive duration`},
		{"launcher", `stop_timeout = "-1s"`, `launcher.stop_timeout: -1s is not a positive duration`},
		{"launcher", `health_interval = "0s"`, `launcher.health_interval: 0s is not a positive duration`},
		{"launcher", `health_timeout = "0s"`, `launcher.health_timeout: 0s is not a positive duration`},
		{"launcher", `health_threshold = 0`, `launcher.health_threshold: 0 is less than 1`},
		{"launcher", `backoff_min = "0s"`, `launcher.backoff_min: 0s is not a positive duration`},
		{"launcher", `backoff_max = "1ms"`, `launcher.backoff_max: 1ms is less than backoff_min, 100ms`},
		{"launcher", `backoff_reset = "0s"`, `launcher.backoff_reset: 0s is not a positive duration`},
		{"containerd", `socket = ""`, `containerd.socket: "" is not an absolute path`},
		{"containerd", `namespace = ""`, `containerd.namespace: is empty`},
		{"containerd", `connect_timeout = "0s"`, `containerd.connect_timeout: 0s is not a positive duration`},
		{"containerd", `request_timeout = "0s"`, `containerd.request_timeout: 0s is not a positive duration`},
		{"runtime", `socket = "trivet.sock"`, `runtime.socket: "trivet.sock" is not an absolute path`},
		{"runtime", `default_runtime_name = "kata"`, `runtime.default_runtime_name: "kata" is not in runtime.runtimes`},
		{"runtime", `cgroup_driver = "cgroup"`, `runtime.cgroup_driver: "cgroup" is none of cgroupfs, systemd, and not empty`},
		{"runtime", `stop_timeout = "0s"`, `runtime.stop_timeout: 0s is not a positive duration`},
		{"runtime", `create_timeout = "0s"`, `runtime.create_timeout: 0s is not a positive duration`},
		{"runtime", `drain_timeout = "0s"`, `runtime.drain_timeout: 0s is not a positive duration`},
		{"runtime", `unset_seccomp_profile = "strict"`, `runtime.unset_seccomp_profile: "strict" is none of unconfined, runtime/default, and not empty`},
		{"runtime", `unset_seccomp_profile = "localhost/a.json"`, `runtime.unset_seccomp_profile: "a.json" is not an absolute path`},
		{"runtime.runtimes.runc", `runtime_type = ""`, `runtime.runtimes.runc.runtime_type: is empty`},
		{"runtime.runtimes.runc", `runtime_path = "shim"`, `runtime.runtimes.runc.runtime_path: "shim" is not an absolute path`},
		{"runtime.runtimes.runc", `base_runtime_spec = "b.json"`, `runtime.runtimes.runc.base_runtime_spec: "b.json" is not an absolute path`},
		{"runtime.runtimes.runc", `cni_conf_dir = "net.d"`, `runtime.runtimes.runc.cni_conf_dir: "net.d" is not an absolute path`},
		{"runtime.runtimes.runc", `cni_max_conf_num = -1`, `runtime.runtimes.runc.cni_max_conf_num: -1 is negative`},
		{"runtime", `allowed_devices = ["/dev/fuse", "fuse"]`, `runtime.allowed_devices: "fuse" is not an absolute path`},
		{"runtime", `additional_devices = ["/dev/fuse:x"]`, `runtime.additional_devices: "/dev/fuse:x": target "x" is not below /dev`},
		{"runtime", `additional_devices = ["/dev/fuse", "/dev/null:/dev//fuse"]`, `runtime.additional_devices: "/dev/null:/dev//fuse": /dev/fuse is there twice`},
		{"runtime", `absent_mount_sources_to_reject = ["/etc/hostname", "etc"]`, `runtime.absent_mount_sources_to_reject: "etc" is not an absolute path`},
		{"runtime", `default_mounts_file = "mounts.conf"`, `runtime.default_mounts_file: "mounts.conf" is not an absolute path`},
		{"runtime", `hooks_dir = ["/a", "b"]`, `runtime.hooks_dir: "b" is not an absolute path`},
		{"runtime", `bind_mount_prefix = "host"`, `runtime.bind_mount_prefix: "host" is not an absolute path`},
		{"runtime", `kubelet_root = "host"`, `runtime.kubelet_root: "host" is not an absolute path`},
		{"runtime", `ctr_stop_timeout = "-1s"`, `runtime.ctr_stop_timeout: -1s is negative`},
		{"runtime", `grpc_max_send_message_size = 0`, `runtime.grpc_max_send_message_size: 0 is less than 1`},
		{"runtime", `grpc_max_recv_message_size = -1`, `runtime.grpc_max_recv_message_size: -1 is less than 1`},
		{"runtime.runtimes.runc", `container_create_timeout = "-1s"`, `runtime.runtimes.runc.container_create_timeout: -1s is negative`},
		{"runtime.runtimes.runc", `default_annotations = { "" = "x" }`, `runtime.runtimes.runc.default_annotations: "" = "x" has no name`},
		{"runtime.runtimes.runc", `platform_runtime_paths = { "wasm" = "/x" }`, `runtime.runtimes.runc.platform_runtime_paths: "wasm" is not os/arch`},
		{"runtime.runtimes.runc", `platform_runtime_paths = { "wasi/wasm" = "x" }`, `runtime.runtimes.runc.platform_runtime_paths: "x" is not an absolute path`},
		{"runtime.runtimes.runc", `options = { ConfigPath = "/x", ConfigBody = "y" }`, `runtime.runtimes.runc.options.ConfigBody: "y" is set, and so is ConfigPath`},
		{"runtime.runtimes.runc", `pod_annotations = ["a/*", "["]`, `runtime.runtimes.runc.pod_annotations: "[" is not a glob`},
		{"runtime.runtimes.runc", `container_annotations = ["["]`, `runtime.runtimes.runc.container_annotations: "[" is not a glob`},
		{"runtime.runtimes.runc", `allowed_annotations = ["["]`, `runtime.runtimes.runc.allowed_annotations: "[" is not a glob`},
		{"runtime.runtimes.runc", `allowed_annotations = ["x.", ""]`, `runtime.runtimes.runc.allowed_annotations: "" is no annotation`},
		{"runtime.runtimes.runc", `sandboxer = "vm"`, `runtime.runtimes.runc.sandboxer: "vm" is none of podsandbox, shim, and not empty`},
		{"runtime.runtimes.runc", `io_type = "named_pipe"`, `runtime.runtimes.runc.io_type: "named_pipe" is none of fifo, streaming, and not empty`},
		{"runtime.runtimes.runc", `io_type = "streaming"`, `runtime.runtimes.runc.io_type: "streaming" needs sandboxer = "shim": the streams are had at the sandbox's address`},
		{"runtime.runtimes.runc", `options.CriuImagePath = "i"`, `runtime.runtimes.runc.options.CriuImagePath: "i" is not an absolute path`},
		{"runtime.runtimes.runc", `options.CriuWorkPath = "w"`, `runtime.runtimes.runc.options.CriuWorkPath: "w" is not an absolute path`},
		{"runtime.runtimes.runc", `options.ConfigPath = "c.toml"`, `runtime.runtimes.runc.options.ConfigPath: "c.toml" is not an absolute path`},
		{"runtime", `selinux_category_range = 1`, `runtime.selinux_category_range: 1 is not between 2 and 1024`},
		{"runtime", `selinux_category_range = 1025`, `runtime.selinux_category_range: 1025 is not between 2 and 1024`},
		{"runtime", `cdi_spec_dirs = ["cdi"]`, `runtime.cdi_spec_dirs: "cdi" is not an absolute path`},
		{"runtime", `rdt_config_file = "r"`, `runtime.rdt_config_file: "r" is not an absolute path`},
		{"runtime", `blockio_config_file = "b"`, `runtime.blockio_config_file: "b" is not an absolute path`},
		{"runtime", `default_env = ["A"]`, `runtime.default_env: "A" is not NAME=VALUE`},
		{"runtime", `default_env = ["=A"]`, `runtime.default_env: "=A" is not NAME=VALUE`},
		{"runtime", `default_env = ["A=\u0000"]`, `runtime.default_env: "A=\x00" has a zero byte`},
		{"runtime", `default_ulimits = ["nofile"]`, `runtime.default_ulimits: "nofile" is not name=soft:hard`},
		{"runtime", `default_ulimits = ["files=1:2"]`, `runtime.default_ulimits: "files=1:2": "files" is none of as, core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack`},
		{"runtime", `default_ulimits = ["nofile=1:x"]`, `runtime.default_ulimits: "nofile=1:x": "x" is no number, and not -1`},
		{"runtime", `default_ulimits = ["nofile=1:"]`, `runtime.default_ulimits: "nofile=1:": "" is no number, and not -1`},
		{"runtime", `default_ulimits = ["nofile=-2"]`, `runtime.default_ulimits: "nofile=-2": "-2" is no number, and not -1`},
		{"runtime", `default_ulimits = ["nofile=9:8"]`, `runtime.default_ulimits: "nofile=9:8": the soft limit is above the hard one`},
		{"runtime", `default_ulimits = ["nofile=-1:8"]`, `runtime.default_ulimits: "nofile=-1:8": the soft limit is above the hard one`},
		{"runtime", `default_ulimits = ["core=1", "core=2"]`, `runtime.default_ulimits: "core=2": core is there twice`},
		{"runtime", `shared_cpuset = "x"`, `runtime.shared_cpuset: "x" is not a list such as "0-3,5"`},
		{"runtime", `irqbalance_config_file = ""`, `runtime.irqbalance_config_file: "" is not an absolute path`},
		{"runtime", `irqbalance_config_restore_file = "off"`, `runtime.irqbalance_config_restore_file: "off" is not an absolute path`},
		{"runtime", `workloads.w = { activation_annotation = 'a', allowed_annotations = [""] }`, `runtime.workloads.w.allowed_annotations: "" is no annotation`},
		{"runtime", `workloads.w = { activation_annotation = 'a', allowed_annotations = ["["] }`, `runtime.workloads.w.allowed_annotations: "[" is not a glob`},
		{"runtime", `infra_ctr_cpuset = "0-"`, `runtime.infra_ctr_cpuset: "0-" is not a list such as "0-3,5"`},
		{"runtime", `min_injected_gomaxprocs = -1`, `runtime.min_injected_gomaxprocs: -1 is negative`},
		{"runtime", `workloads.w = { activation_annotation = "" }`, `runtime.workloads.w.activation_annotation: is empty`},
		{"runtime", "workloads.w = { activation_annotation = 'a', annotation_prefix = 'x/' }", `runtime.workloads.w.annotation_prefix: "x/" ends in a slash, which comes before the container's name anyway`},
		{"runtime", "workloads.w = { activation_annotation = 'a', resources.cpushares = 1 }", `runtime.workloads.w.resources.cpushares: 1 is not between 2 and 262144`},
		{"runtime", "workloads.w = { activation_annotation = 'a', resources.cpuquota = 999 }", `runtime.workloads.w.resources.cpuquota: 999 is not between 1000 and 17592186044416 microseconds`},
		{"runtime", "workloads.w = { activation_annotation = 'a', resources.cpuquota = -2 }", `runtime.workloads.w.resources.cpuquota: -2 is negative, and not -1 for no limit`},
		{"runtime", "workloads.w = { activation_annotation = 'a', resources.cpuperiod = 5 }", `runtime.workloads.w.resources.cpuperiod: 5 is not between 1000 and 1000000 microseconds`},
		{"runtime", "workloads.w = { activation_annotation = 'a', resources.cpuset = '3-1' }", `runtime.workloads.w.resources.cpuset: "3-1" has the range 3-1, which goes backwards`},
		{"runtime", "workloads.w = { activation_annotation = 'a', resources.cpulimit = -1 }", `runtime.workloads.w.resources.cpulimit: -1 is negative`},
		{"runtime", "workloads.w = { activation_annotation = 'a', resources.cpulimit = 20000000000 }", `runtime.workloads.w.resources.cpulimit: 20000000000 is more than any machine has`},
		{"runtime.runtimes.runc", `container_min_memory = -1`, `runtime.runtimes.runc.container_min_memory: -1 is negative`},
		{"runtime", `default_capabilities = ["CHOWN", "FLY"]`, `runtime.default_capabilities: "FLY" is no capability`},
		{"runtime", `privileged_seccomp_profile = "p.json"`, `runtime.privileged_seccomp_profile: "p.json" is not an absolute path`},
		{"runtime", `default_sysctls = ["net.core.somaxconn"]`, `runtime.default_sysctls: "net.core.somaxconn" is not name=value`},
		{"runtime", `default_sysctls = ["net.core.somaxconn="]`, `runtime.default_sysctls: sysctl "net.core.somaxconn" = "" is empty, too long or has zero bytes`},
		{"runtime", `default_sysctls = ["vm.swappiness=1"]`, `runtime.default_sysctls: "vm.swappiness=1" belongs to no namespace of a pod`},
		{"runtime", `default_sysctls = ["net.core.somaxconn=1", "net/core/somaxconn=2"]`, `runtime.default_sysctls: "net/core/somaxconn=2": net.core.somaxconn is there twice`},
		{"runtime", `default_capabilities = ["ALL"]`, `runtime.default_capabilities: "ALL" is no capability`},
		{"runtime", `timezone = "a\u0000"`, `runtime.timezone: "a\x00" is not the name of a time zone`},
		{"runtime", `timezone = "../../etc/passwd"`, `runtime.timezone: "../../etc/passwd" is not the name of a time zone`},
		{"runtime", `timezone = "/etc/passwd"`, `runtime.timezone: "/etc/passwd" is not the name of a time zone`},
		{"metrics", `address = ":9100"`, `metrics.address: ":9100" is not an IP address with a port`},
		{"metrics", `address = "node:9100"`, `metrics.address: "node:9100" is not an IP address with a port`},
		{"metrics", `address = "127.0.0.1"`, `metrics.address: "127.0.0.1" is not an IP address with a port`},
		{"metrics", `address = "[::1]:65536"`, `metrics.address: "[::1]:65536" is not an IP address with a port`},
		{"metrics", `address = "127.0.0.1:0"`, `metrics.address: "127.0.0.1:0" is not an IP address with a port`},
		{"nri", `socket_path = "n"`, `nri.socket_path: "n" is not an absolute path`},
		{"nri", `plugin_path = "n"`, `nri.plugin_path: "n" is not an absolute path`},
		{"nri", `plugin_config_path = "n"`, `nri.plugin_config_path: "n" is not an absolute path`},
		{"nri", `plugin_registration_timeout = "0s"`, `nri.plugin_registration_timeout: 0s is not a positive duration`},
		{"nri", `plugin_request_timeout = "0s"`, `nri.plugin_request_timeout: 0s is not a positive duration`},
		{"image", `snapshotter = ""`, `image.snapshotter: is empty`},
		{"image", `config_path = "/etc/certs.d:certs.d"`, `image.config_path: "certs.d" is not an absolute path`},
		{"image", `pause_image = ""`, `image.pause_image: is empty`},
		{"image", `image_pull_progress_timeout = "-1s"`, `image.image_pull_progress_timeout: -1s is negative`},
		{"image", `max_concurrent_downloads = -1`, `image.max_concurrent_downloads: -1 is negative`},
		{"image", `stats_collect_period = "0s"`, `image.stats_collect_period: 0s is not a positive duration`},
		{"streamer", `socket = "s"`, `streamer.socket: "s" is not an absolute path`},
		{"streamer", `stream_server_address = ""`, `streamer.stream_server_address: "" is not an IP address`},
		{"streamer", `stream_server_address = "node.example"`, `streamer.stream_server_address: "node.example" is not an IP address`},
		{"streamer", `stream_server_port = -1`, `streamer.stream_server_port: -1 is not a port`},
		{"streamer", `stream_server_port = 65536`, `streamer.stream_server_port: 65536 is not a port`},
		{"streamer", `stream_idle_timeout = "0s"`, `streamer.stream_idle_timeout: 0s is not a positive duration`},
		{"streamer", `stream_creation_timeout = "0s"`, `streamer.stream_creation_timeout: 0s is not a positive duration`},
		{"streamer", `stream_header_timeout = "-1s"`, `streamer.stream_header_timeout: -1s is not a positive duration`},
		{"streamer", `stream_max_header_bytes = 4095`, `streamer.stream_max_header_bytes: 4095 is not between 4096 and 1048576`},
		{"streamer", `stream_max_header_bytes = 1048577`, `streamer.stream_max_header_bytes: 1048577 is not between 4096 and 1048576`},
		{"streamer", `stream_max_waiting = -1`, `streamer.stream_max_waiting: -1 is negative`},
		{"streamer", `stream_base_url = "node:80"`, `streamer.stream_base_url: "node:80" does not begin with http:// or https://`},
		{"streamer", `stream_base_url = "https:///cri"`, `streamer.stream_base_url: "https:///cri" has no host`},
		{"streamer", `stream_base_url = "https://me@node"`, `streamer.stream_base_url: "https://me@node" has more than scheme, host, port and path`},
		{"streamer", `stream_base_url = "https://node?a"`, `streamer.stream_base_url: "https://node?a" has more than scheme, host, port and path`},
		{"streamer", `tls_min_version = "VersionTLS11"`, `streamer.tls_min_version: "VersionTLS11" is neither VersionTLS12 nor VersionTLS13`},
		{"streamer", `tls_cipher_suites = ["TLS_RSA_WITH_RC4_128_SHA"]`, `streamer.tls_cipher_suites: "TLS_RSA_WITH_RC4_128_SHA" is not a secure cipher suite of TLS 1.2`},
		{"streamer", `tls_cipher_suites = ["TLS_AES_128_GCM_SHA256"]`, `streamer.tls_cipher_suites: "TLS_AES_128_GCM_SHA256" is not a secure cipher suite of TLS 1.2`},
		{"streamer", "tls_cipher_suites = ['TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256']\ntls_min_version = 'VersionTLS13'", `streamer.tls_cipher_suites: is set, but tls_min_version leaves no TLS 1.2`},
		{"streamer", `tls_client_ca_file = "/ca.pem"`, `streamer.tls_client_ca_file: is set but enable_tls_streaming is not`},
		{"streamer", `exec_sync_output_limit = 0`, `streamer.exec_sync_output_limit: 0 is less than 1`},
		{"containerd", `state = "run"`, `containerd.state: "run" is not an absolute path`},
		{"streamer", `max_execs_per_container = -1`, `streamer.max_execs_per_container: -1 is negative`},
		{"streamer", `drain_exec_sync_io_timeout = "0s"`, `streamer.drain_exec_sync_io_timeout: 0s is not a positive duration`},
		{"streamer", `pipe_size = 4095`, `streamer.pipe_size: 4095 is less than a page, 4096`},
		{"streamer", `log_rate_limit = -1`, `streamer.log_rate_limit: -1 is negative`},
		{"streamer", `log_max_size = 1048575`, `streamer.log_max_size: 1048575 is less than 1048576, and not 0`},
		{"streamer", `log_max_files = 1`, `streamer.log_max_files: 1 is less than 2`},
		{"cni", `socket = "n"`, `cni.socket: "n" is not an absolute path`},
		{"cni", `conf_dir = ""`, `cni.conf_dir: "" is not an absolute path`},
		{"cni", `bin_dirs = []`, `cni.bin_dirs: is empty`},
		{"cni", `bin_dirs = ["/opt/cni/bin", "bin"]`, `cni.bin_dirs: "bin" is not an absolute path`},
		{"cni", `cache_dir = "cache"`, `cni.cache_dir: "cache" is not an absolute path`},
		{"cni", `conf_template = "t"`, `cni.conf_template: "t" is not an absolute path`},
		{"cni", `max_conf_num = -1`, `cni.max_conf_num: -1 is negative`},
		{"cni", `ip_pref = "ipv5"`, `cni.ip_pref: "ipv5" is none of ipv4, ipv6, cni`},
		{"cni", `attach_timeout = "0s"`, `cni.attach_timeout: 0s is not a positive duration`},
		{"cni", `detach_timeout = "0s"`, `cni.detach_timeout: 0s is not a positive duration`},
		{"cni", `poll_interval = "0s"`, `cni.poll_interval: 0s is not a positive duration`},
		{"cni", `status_timeout = "0s"`, `cni.status_timeout: 0s is not a positive duration`},
		{"cni", `gc_interval = "0s"`, `cni.gc_interval: 0s is not a positive duration`},
		{"cni", `max_concurrency = -1`, `cni.max_concurrency: -1 is negative`},
	} {
		t.Run(c.table+" "+c.line, func(t *testing.T) {
			t.Parallel()
			text, line := c.line, 2
			if c.table != "" {
				text, line = "["+c.table+"]\n"+withType(c.table, c.line), 3
			}
			want := fmt.Sprintf("/etc/x.toml:%d: %s", line, c.want)
			cfg, err := config.Parse("/etc/x.toml", []byte("\n"+text+"\n"))
			if err == nil || err.Error() != want {
				t.Errorf("error is  %v\nwant      %s", err, want)
			}
			if cfg != nil {
				t.Error("a bad file gave a configuration")
			}
		})
	}
}

// withType completes the table of a handler, below the line under test.
func withType(table, line string) string {
	if strings.HasPrefix(table, "runtime.runtimes.") && !strings.HasPrefix(line, "runtime_type") {
		return line + "\nruntime_type = 'io.containerd.runc.v2'"
	}
	return line
}

func TestMistakesOfSeveralKeys(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"all of them, in the order of the sections": {
			"[cni]\nconf_dir = 'x'\n[log]\nlevel = 'loud'\n",
			"f:4: log.level: \"loud\" is none of debug, info, warn, error\nf:2: cni.conf_dir: \"x\" is not an absolute path",
		},
		"a missing key has the line of its table": {
			"\n\n[runtime.runtimes.runc]\nruntime_path = '/x'\n",
			"f:3: runtime.runtimes.runc.runtime_type: is empty",
		},
		"a default that another key makes wrong": {
			"[launcher]\nbackoff_min = '1m'\n",
			"f:1: launcher.backoff_max: 30s is less than backoff_min, 1m0s",
		},
		"the default handler was replaced": {
			"[runtime]\n[runtime.runtimes.kata]\nruntime_type = 'io.containerd.kata.v2'\n",
			"f:1: runtime.default_runtime_name: \"runc\" is not in runtime.runtimes",
		},
		"handlers in the order of their names": {
			"[runtime.runtimes.runc]\nruntime_type=''\n[runtime.runtimes.b]\n[runtime.runtimes.a]\n",
			"f:4: runtime.runtimes.a.runtime_type: is empty\nf:3: runtime.runtimes.b.runtime_type: is empty\nf:2: runtime.runtimes.runc.runtime_type: is empty",
		},
		"a certificate without a key": {
			"[streamer]\nenable_tls_streaming = true\ntls_cert_file = '/c.pem'\n",
			"f:3: streamer.tls_cert_file: is set without tls_key_file",
		},
		"a key without a certificate": {
			"[streamer]\nenable_tls_streaming = true\ntls_key_file = '/k.pem'\n",
			"f:3: streamer.tls_key_file: is set without tls_cert_file",
		},
		"files for TLS that is off": {
			"[streamer]\ntls_key_file = '/k.pem'\ntls_cert_file = '/c.pem'\n",
			"f:3: streamer.tls_cert_file: is set but enable_tls_streaming is not\nf:2: streamer.tls_key_file: is set but enable_tls_streaming is not",
		},
		"dotted key":            {"cni.conf_dir = 'x'", "f:1: cni.conf_dir: \"x\" is not an absolute path"},
		"inline table":          {"\nlog = { level = 'loud' }", "f:2: log.level: \"loud\" is none of debug, info, warn, error"},
		"key in other case":     {"[CNI]\nConf_Dir = 'x'", "f:2: cni.conf_dir: \"x\" is not an absolute path"},
		"handler with capitals": {"[runtime.runtimes.runc]\nruntime_type='x'\n[runtime.runtimes.Kata]\nruntime_type = ''", "f:4: runtime.runtimes.Kata.runtime_type: is empty"},
		"quoted with a dot":     {"[runtime.runtimes.runc]\nruntime_type='x'\n[runtime.runtimes.'a.b']\nruntime_type = ''", "f:4: runtime.runtimes.a.b.runtime_type: is empty"},
		"a file with an eol":    {"[log]\r\nlevel = 'loud'\r\n", "f:2: log.level: \"loud\" is none of debug, info, warn, error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Parse("f", []byte(c.text))
			if err == nil || err.Error() != c.want {
				t.Errorf("error is\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}
