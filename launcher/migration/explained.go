package migration

import "reflect"

// explanation is why a key has no counterpart.
type explanation struct {
	path path
	// harmless is the value with which nothing is lost; a nil slice or map is
	// any empty one. Without one, every value needs the reader's attention.
	harmless any
	why      string
}

// always is the harmless value of keys that lose nothing with any.
type always struct{}

func because(why string, harmless any, p ...string) explanation {
	return explanation{path: append(path{"plugins"}, p...), harmless: harmless, why: why}
}

// lossless tells whether the value of s changes nothing.
func (e explanation) lossless(s setting) bool {
	switch e.harmless.(type) {
	case always:
		return true
	case nil:
		return false
	}
	_, flag := s.value.(bool) // false says something
	return reflect.DeepEqual(s.value, e.harmless) || !flag && empty(s.value)
}

// empty tells whether a value is that of a key that is not there.
func empty(value any) bool {
	if value == nil {
		return true
	}
	v := reflect.ValueOf(value)
	if kind := v.Kind(); kind == reflect.Slice || kind == reflect.Map {
		return v.Len() == 0
	}
	return v.IsZero()
}

// explanations are the CRI's keys without counterpart. The first that
// matches counts.
var explanations = []explanation{
	because("Trivet serves the CRI on a unix socket alone.", true, criPlugin, "disable_tcp_service"),

	because("Trivet's namespaces are always below its own state directory.", always{}, runtimePlugin, "netns_mounts_under_state_dir"),
	because("Trivet always brings lo up itself, without a plugin.", always{}, runtimePlugin, "cni", "use_internal_loopback"),
	because("Trivet reports no condition about deprecations.", always{}, runtimePlugin, "ignore_deprecation_warnings"),
	because("It is for containerd's own sampler of CPU usage, which Trivet does not use.", always{}, runtimePlugin, "stats_collect_period"),
	because("It is for containerd's own sampler of CPU usage, which Trivet does not use.", always{}, runtimePlugin, "stats_retention_period"),
	because("Trivet always puts containers into cgroups; it does not run without any.", false, runtimePlugin, "disable_cgroup"),
	because("Set SystemdCgroup in the options of each handler, as containerd 1.4 and later want it, or runtime.cgroup_driver.", false, runtimePlugin, "systemd_cgroup"),
	because("It was for containerd 1.x's first shim. For a root file system on a RAM disk set NoPivotRoot in the handler's options.", false, runtimePlugin, "containerd", "no_pivot"),

	because("Trivet runs this one snapshotter's images for this machine's platform only.", "", imagesPlugin, "runtime_platforms", "*", "platform"),
	because("For snapshotters that fetch lazily (stargz, nydus, SOCI): with containerd's transfer service, which Trivet uses, containerd's file says it:"+
		` [proxy_plugins.NAME.exports] enable_remote_snapshot_annotations = "true", and an unpack_config in plugins."io.containerd.transfer.v1.local".`,
		true, imagesPlugin, "disable_snapshot_annotations"),
	because("Layers stay in the content store after unpacking; plan disk space for them.", false, imagesPlugin, "discard_unpacked_layers"),
	because("Trivet has no key model: containerd's stream_processors and their keys alone decide. Try one of your encrypted images before the switch.",
		nil, imagesPlugin, "image_decryption", "key_model"),
	because(`Set concurrent_layer_fetch_buffer in plugins."io.containerd.transfer.v1.local" of containerd's file.`, int64(0), imagesPlugin, "concurrent_layer_fetch_buffer"),
	because(`Set sync_fs in plugins."io.containerd.service.v1.diff-service" of containerd's file.`, false, imagesPlugin, "image_pull_with_sync_fs"),
	because("Trivet always pulls with containerd's transfer service.", false, imagesPlugin, "use_local_image_pull"),
	because("Write them as endpoints of hosts.toml: see below.", map[string]any{}, imagesPlugin, "registry", "mirrors", "**"),
	because("Credentials do not belong into a node's configuration: use imagePullSecrets or a credential provider of the kubelet.",
		"", imagesPlugin, "registry", "configs", "*", "auth", "**"),
	because("Credentials do not belong into a node's configuration: use imagePullSecrets or a credential provider of the kubelet.",
		map[string]any{}, imagesPlugin, "registry", "auths", "**"),
	because("Write it into hosts.toml: see below.", "", imagesPlugin, "registry", "configs", "*", "tls", "**"),
	because("Write it into hosts.toml: see below.", map[string]any{}, imagesPlugin, "registry", "configs", "**"),
	because("Write them into a hosts.toml of each registry: [host.\"https://REGISTRY\".header] NAME = [\"VALUE\"].",
		map[string]any{}, imagesPlugin, "registry", "headers", "**"),
}

// handlerExplanations are those of keys of a runtime handler.
var handlerExplanations = map[string]explanation{
	"disable_pause_image_pull": {harmless: always{}, why: "Trivet's pause image is built in, and only for pods that share their PID namespace."},
	"runtime_engine":           {harmless: "", why: "It was for containerd 1.x's first shim. Set BinaryName in the handler's options."},
	"runtime_root":             {harmless: "", why: "It was for containerd 1.x's first shim. Set Root in the handler's options."},
}

// optionExplanations are those of the options of the runc shim.
var optionExplanations = map[string]explanation{
	"taskapiaddress": {harmless: "", why: "Trivet's tasks are served by their own shim."},
	"taskapiversion": {harmless: int64(0), why: "Trivet's tasks are served by their own shim."},
	"criupath":       {harmless: "", why: "The shim finds criu by PATH."},
}
