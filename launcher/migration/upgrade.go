package migration

import (
	"slices"
	"strings"
)

// Names of containerd's plugins with settings that matter to Trivet.
const (
	criPlugin      = "io.containerd.grpc.v1.cri" // all of the CRI until version 2, the streaming server since
	runtimePlugin  = "io.containerd.cri.v1.runtime"
	imagesPlugin   = "io.containerd.cri.v1.images"
	nriPlugin      = "io.containerd.nri.v1.nri"
	tasksPlugin    = "io.containerd.service.v1.tasks-service"
	transferPlugin = "io.containerd.transfer.v1.local"
	grpcPlugin     = "io.containerd.server.v1.grpc"
)

// serverKeys of the CRI stay where they were in version 2.
var serverKeys = []string{
	"disable_tcp_service", "stream_server_address", "stream_server_port", "stream_idle_timeout",
	"enable_tls_streaming", "x509_key_pair_streaming",
}

// imageKeys and imageContainerdKeys moved to the images plugin in version 3,
// the latter from the table containerd.
var (
	imageKeys = []string{
		"registry", "image_decryption", "max_concurrent_downloads",
		"image_pull_progress_timeout", "image_pull_with_sync_fs", "stats_collect_period",
	}
	imageContainerdKeys = []string{"snapshotter", "disable_snapshot_annotations", "discard_unpacked_layers"}
)

// upgrade brings the keys of f to the newest version and returns those that
// lost their place to the key that has it in that version.
func (f *file) upgrade() []setting {
	var replaced []setting
	if f.version >= newest {
		return nil
	}
	upgraded := make(settings)
	for _, s := range f.settings.sorted() {
		s.path = f.renamed(s)
		if f.version < 2 && (s.path[0] == "disabled_plugins" || s.path[0] == "required_plugins") {
			s.value = fullNames(s)
		}
		have, taken := upgraded.get(s.path...)
		if bin, ok := s.value.(string); ok && s.path.matches(path{"plugins", runtimePlugin, "cni", "bin_dirs"}) {
			s.value = []any{bin}
		}
		// The CRI's own new key wins over the old one, except for images.
		moved := !slices.Equal(s.origin, s.path)
		keep := taken && moved && (len(s.path) < 2 || s.path[1] != imagesPlugin)
		if keep {
			have, s = s, have
		}
		if taken {
			replaced = append(replaced, have)
		}
		upgraded.put(s)
	}
	f.settings = upgraded
	return replaced
}

// renamed is the path of s in the newest version.
func (f *file) renamed(s setting) path {
	p := slices.Clone(s.path)
	if p[0] != "plugins" || len(p) < 2 {
		return serverPath(s)
	}
	if f.version < 2 {
		p[1] = fullName(p[1])
	}
	if p[1] == criPlugin && len(p) > 2 {
		p = criPath(p)
	}
	return p
}

// criPath is where a key of the one CRI plugin of version 2 is now.
func criPath(p path) path {
	key, rest := p[2], p[2:]
	switch {
	case slices.Contains(serverKeys, key):
		return p
	case key == "sandbox_image" && len(rest) == 1:
		return path{"plugins", imagesPlugin, "pinned_images", "sandbox"}
	case slices.Contains(imageKeys, key):
		return append(path{"plugins", imagesPlugin}, rest...)
	case key == "containerd" && len(rest) > 1 && slices.Contains(imageContainerdKeys, rest[1]):
		return append(path{"plugins", imagesPlugin}, rest[1:]...)
	case key == "cni" && len(rest) == 2 && rest[1] == "bin_dir":
		return path{"plugins", runtimePlugin, "cni", "bin_dirs"}
	case len(rest) == 4 && rest[0] == "containerd" && rest[1] == "runtimes" && rest[3] == "sandbox_mode":
		return path{"plugins", runtimePlugin, rest[0], rest[1], rest[2], "sandboxer"}
	}
	return append(path{"plugins", runtimePlugin}, rest...)
}

// serverPath is where a key outside of plugins is since version 4. An empty
// address is none.
func serverPath(s setting) path {
	if s.value == "" || len(s.path) != 2 {
		return s.path
	}
	plugin := map[string]string{
		"grpc": grpcPlugin, "ttrpc": "io.containerd.server.v1.ttrpc",
		"debug": "io.containerd.server.v1.debug", "metrics": "io.containerd.server.v1.metrics",
	}[s.path[0]]
	key := s.path[1]
	switch {
	case plugin == "", s.path[0] == "debug" && !slices.Contains([]string{"address", "uid", "gid"}, key):
		return s.path
	case strings.HasPrefix(key, "tcp_"):
		plugin, key = "io.containerd.server.v1.grpc-tcp", strings.TrimPrefix(key, "tcp_")
	case key == "grpc_histogram":
		plugin = "io.containerd.metrics.v1.grpc-prometheus"
	}
	return path{"plugins", plugin, key}
}

// shortNames are version 1's names of plugins that do not follow a rule.
var shortNames = map[string]string{
	"cri": criPlugin, "cgroups": "io.containerd.monitor.v1.cgroups", "linux": "io.containerd.runtime.v1.linux",
	"scheduler": "io.containerd.gc.v1.scheduler", "bolt": "io.containerd.metadata.v1.bolt",
	"task": "io.containerd.runtime.v2.task", "opt": "io.containerd.internal.v1.opt",
	"restart": "io.containerd.internal.v1.restart", "tracing": "io.containerd.internal.v1.tracing",
	"otlp": "io.containerd.tracing.processor.v1.otlp",
}

// fullName is a plugin's name since version 2.
func fullName(name string) string {
	full, ok := shortNames[name]
	switch {
	case strings.Contains(name, "."):
		return name
	case ok:
		return full
	case strings.HasSuffix(name, "-service"):
		return "io.containerd.service.v1." + name
	case slices.Contains([]string{"aufs", "btrfs", "devmapper", "native", "overlayfs", "zfs"}, name):
		return "io.containerd.snapshotter.v1." + name
	}
	return "io.containerd.grpc.v1." + name
}

func fullNames(s setting) any {
	names := []any{}
	for _, name := range s.strings() {
		names = append(names, fullName(name))
	}
	return names
}
