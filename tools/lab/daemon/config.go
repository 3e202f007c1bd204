package daemon

import (
	"fmt"
	"path/filepath"

	"github.com/pelletier/go-toml/v2"
)

// Containerd says where an isolated containerd lies and what it offers.
type Containerd struct {
	Dir        string // root, state and sockets lie below it
	ShimDir    string // of the shims' sockets; a short path
	BinDir     string // runc, crun
	CNIBinDir  string
	CNIConfDir string
	CertsDir   string
	// CRI enables the built-in CRI plugin and NRI.
	CRI bool
	// Overlay is TOML that is laid over the settings of the built-in CRI
	// plugin's runtime part: tables are merged, all else is replaced.
	Overlay []byte
	// RestrictOOMScoreAdj: the machine lacks CAP_SYS_RESOURCE.
	RestrictOOMScoreAdj bool
}

// Socket is the path of the gRPC socket.
func (c Containerd) Socket() string { return filepath.Join(c.Dir, "containerd.sock") }

// State is where containerd keeps what is gone after a reboot.
func (c Containerd) State() string { return filepath.Join(c.Dir, "state") }

// Root is where containerd keeps images and snapshots.
func (c Containerd) Root() string { return filepath.Join(c.Dir, "root") }

func (c Containerd) path(elements ...string) string {
	return filepath.Join(append([]string{c.Dir}, elements...)...)
}

type table = map[string]any

// Without the built-in CRI plugin and what only serves it.
var criPlugins = []string{
	"io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri", "io.containerd.nri.v1.nri",
}

// Configuration is containerd's configuration file. Every path that has a
// default outside of the lab is set, so nothing of the machine is read or
// written.
func (c Containerd) Configuration() ([]byte, error) {
	plugins := table{
		"io.containerd.server.v1.grpc":               table{"address": c.Socket()},
		"io.containerd.server.v1.ttrpc":              table{"address": c.Socket() + ".ttrpc"},
		"io.containerd.internal.v1.opt":              table{"path": c.path("opt")},
		"io.containerd.image-verifier.v1.bindir":     table{"bin_dir": c.path("verifiers")},
		"io.containerd.shim.v1.manager":              table{"socket_dir": c.ShimDir},
		"io.containerd.transfer.v1.local":            table{"config_path": c.CertsDir},
		"io.containerd.nri.v1.nri":                   c.nri(),
		"io.containerd.monitor.container.v1.restart": table{"interval": "10s"},
	}
	disabled := criPlugins
	if c.CRI {
		disabled = []string{}
		plugins["io.containerd.cri.v1.images"] = c.criImages()
		runtime := c.criRuntime()
		overlay := make(table)
		if err := toml.Unmarshal(c.Overlay, &overlay); err != nil {
			return nil, fmt.Errorf("read what is laid over the CRI plugin's configuration: %w", err)
		}
		merge(runtime, overlay)
		plugins["io.containerd.cri.v1.runtime"] = runtime
		plugins["io.containerd.grpc.v1.cri"] = table{"stream_server_address": "127.0.0.1", "stream_server_port": "0"}
	}
	text, err := toml.Marshal(table{
		"version": 4, "root": c.Root(), "state": c.State(), "temp": c.path("temp"),
		"imports": []string{}, "disabled_plugins": disabled, "plugins": plugins,
		"debug": table{"level": "info"},
	})
	if err != nil {
		return nil, fmt.Errorf("write containerd's configuration: %w", err)
	}
	return text, nil
}

func (c Containerd) nri() table {
	return table{
		"socket_path": c.path("nri.sock"), "plugin_path": c.path("nri", "plugins"), "plugin_config_path": c.path("nri", "conf.d"),
	}
}

func (c Containerd) criImages() table {
	return table{
		"snapshotter": "overlayfs",
		"registry":    table{"config_path": c.CertsDir},
	}
}

func (c Containerd) criRuntime() table {
	handlers := table{}
	for _, name := range []string{"runc", "crun"} {
		handlers[name] = table{
			"runtime_type": "io.containerd.runc.v2",
			"options":      table{"BinaryName": filepath.Join(c.BinDir, name), "Root": c.path(name), "SystemdCgroup": false},
		}
	}
	return table{
		"restrict_oom_score_adj":       c.RestrictOOMScoreAdj,
		"netns_mounts_under_state_dir": true,
		"cdi_spec_dirs":                []string{c.path("cdi")},
		"cni":                          table{"bin_dirs": []string{c.CNIBinDir}, "conf_dir": c.CNIConfDir},
		"containerd":                   table{"default_runtime_name": "runc", "runtimes": handlers},
	}
}

// merge lays one table over another.
func merge(under, over table) {
	for key, value := range over {
		below, isTable := under[key].(table)
		above, both := value.(table)
		if isTable && both {
			merge(below, above)
		} else {
			under[key] = value
		}
	}
}

// TracingEnv is the environment that makes containerd send its spans to an
// OTLP endpoint, host:port. Without one it switches tracing off, whatever this
// process has in its environment. A caller that has decided whether a call is
// traced is obeyed; calls of others are traced.
func TracingEnv(otlp string) []string {
	if otlp == "" {
		return []string{"OTEL_SDK_DISABLED=true"}
	}
	return []string{
		"OTEL_SDK_DISABLED=false",
		"OTEL_SERVICE_NAME=containerd",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + otlp,
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
		"OTEL_EXPORTER_OTLP_INSECURE=true",
		"OTEL_TRACES_SAMPLER=parentbased_always_on",
		"OTEL_BSP_SCHEDULE_DELAY=500",
	}
}
