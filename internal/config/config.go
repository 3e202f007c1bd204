// Package config is the one TOML file that all of Trivet's processes read.
//
// Default is complete: a file only needs what differs. Load is strict: an
// unknown key, a value of the wrong type or a value out of range is an error
// that names file, line and key, and nothing of a bad file takes effect.
package config

import (
	"path/filepath"
	"time"
)

// Version is the version of the file's format that this package reads.
const Version = 1

// BuiltInPauseImage is the name of the pause image that the runtime makes
// itself and no registry has.
const BuiltInPauseImage = "trivet.invalid/pause:1"

// DefaultPath is where the processes look when no path is given.
const DefaultPath = "/etc/trivet/trivet.toml"

// Config is the whole file.
type Config struct {
	Version    int        `toml:"version" comment:"Version of this file's format."`
	Root       string     `toml:"root" comment:"Directory for what must survive a reboot (the ledger of network attachments)."`
	State      string     `toml:"state" comment:"Directory for what must not survive a reboot: sockets, FIFOs, pinned namespaces. On tmpfs."`
	Log        Log        `toml:"log" comment:"Logs of all processes, on standard error."`
	Tracing    Tracing    `toml:"tracing" comment:"OpenTelemetry traces of all processes."`
	Metrics    Metrics    `toml:"metrics" comment:"Prometheus metrics of all processes."`
	Launcher   Launcher   `toml:"launcher" comment:"The launcher: starts, watches and restarts the group."`
	Containerd Containerd `toml:"containerd" comment:"The containerd that pods run on."`
	Runtime    Runtime    `toml:"runtime" comment:"The CRI service."`
	Image      Image      `toml:"image" comment:"Images."`
	Streamer   Streamer   `toml:"streamer" comment:"Logs, exec, attach and port-forward."`
	CNI        CNI        `toml:"cni" comment:"Pod networks."`
	NRI        NRI        `toml:"nri" comment:"NRI plugins, which may adjust pods and containers."`
}

// Log configures slog.
type Log struct {
	Level  string `toml:"level" comment:"debug, info, warn or error."`
	Format string `toml:"format" comment:"text or json."`
}

// Tracing configures the export of spans.
type Tracing struct {
	Endpoint    string  `toml:"endpoint" comment:"OTLP gRPC endpoint, host:port. Empty switches tracing off."`
	Insecure    bool    `toml:"insecure" comment:"Send without TLS."`
	SampleRatio float64 `toml:"sample_ratio" comment:"Share of traces to sample when the caller brings no decision, 0 to 1."`
}

// Metrics configures where they are served for all processes.
type Metrics struct {
	Address string `toml:"address" comment:"Address on which the launcher serves /metrics over HTTP to anybody, host:port. Empty: nowhere."`
}

// Launcher configures the supervisor.
type Launcher struct {
	Socket          string   `toml:"socket" comment:"Socket for trivet status. Empty: launcher.sock in the state directory."`
	BinDir          string   `toml:"bin_dir" comment:"Directory of the members' binaries. Empty: where trivet itself is."`
	Critical        []string `toml:"critical" comment:"Members whose failure restarts the whole group; others are restarted alone."`
	StartTimeout    Duration `toml:"start_timeout" comment:"How long a member may take until its health service says SERVING."`
	StopTimeout     Duration `toml:"stop_timeout" comment:"How long a member may take to finish running operations before it is killed."`
	DrainTimeout    Duration `toml:"drain_timeout" comment:"How long streamer may live on after a restart of the group, for the sessions that it has. 0: they end with the restart."`
	HealthInterval  Duration `toml:"health_interval" comment:"Pause between health checks of a member."`
	HealthTimeout   Duration `toml:"health_timeout" comment:"A health check that takes longer has failed."`
	HealthThreshold int      `toml:"health_threshold" comment:"Failed health checks in a row after which a member counts as dead."`
	BackoffMin      Duration `toml:"backoff_min" comment:"First pause before a restart; it doubles with each further one, with jitter."`
	BackoffMax      Duration `toml:"backoff_max" comment:"Longest pause before a restart."`
	BackoffReset    Duration `toml:"backoff_reset" comment:"A generation that served this long starts the pauses over."`
}

// Containerd says how to reach containerd.
type Containerd struct {
	Socket         string   `toml:"socket" comment:"containerd's gRPC socket."`
	State          string   `toml:"state" comment:"containerd's state directory, in which exec finds a container's shim; if it does not, exec goes through containerd. Empty: the directory of the socket."`
	Namespace      string   `toml:"namespace" comment:"containerd namespace of all pods and images."`
	ConnectTimeout Duration `toml:"connect_timeout" comment:"How long to wait for containerd at start before giving up."`
	RequestTimeout Duration `toml:"request_timeout" comment:"Deadline of a call whose caller has set none."`
}

// Image configures the image service.
type Image struct {
	Snapshotter           string   `toml:"snapshotter" comment:"Snapshotter for images and containers."`
	ConfigPath            string   `toml:"config_path" comment:"Directories with hosts.toml files of registries (mirrors, CA, headers), separated by colons."`
	PauseImage            string   `toml:"pause_image" comment:"Image of the pause container in pods that share a PID namespace; not used for other pods, never removed. The default is built in, any other is pulled when needed."`
	PinnedImages          []string `toml:"pinned_images" comment:"Images that are reported as pinned, so that the kubelet does not remove them."`
	PullProgressTimeout   Duration `toml:"image_pull_progress_timeout" comment:"A pull without progress for this long is given up. 0 for never."`
	MaxConcurrentDownload int      `toml:"max_concurrent_downloads" comment:"Layers of an image that are fetched at the same time. 0 for containerd's own setting."`
	StatsCollectPeriod    Duration `toml:"stats_collect_period" comment:"How old the figures of ImageFsInfo may be."`
}

// Streamer configures the streaming server.
type Streamer struct {
	Socket              string   `toml:"socket" comment:"Internal socket. Empty: streamer.sock in the state directory."`
	Address             string   `toml:"stream_server_address" comment:"Address on which the streaming server listens."`
	Port                int      `toml:"stream_server_port" comment:"Port of the streaming server, 0 for any free one."`
	IdleTimeout         Duration `toml:"stream_idle_timeout" comment:"A session without traffic for this long is closed."`
	CreationTimeout     Duration `toml:"stream_creation_timeout" comment:"What a client that has connected may take to open its session's streams."`
	BaseURL             string   `toml:"stream_base_url" comment:"Scheme, host and path below which clients reach the streaming server, if not at its own address: behind a proxy. Port 0 in it is that of the server. Empty for the address and port."`
	HeaderTimeout       Duration `toml:"stream_header_timeout" comment:"What a client may take to send its request, and before it for the TLS handshake."`
	HeaderLimit         int      `toml:"stream_max_header_bytes" comment:"Bytes that a request's headers may have."`
	WaitingLimit        int      `toml:"stream_max_waiting" comment:"Connections without a request that are kept open. With more, the longest waiting of the client that has most is closed. 0 for no limit."`
	EnableTLS           bool     `toml:"enable_tls_streaming" comment:"Serve TLS."`
	TLSCert             string   `toml:"tls_cert_file" comment:"PEM file of the server's certificate; read again when it changes. Empty with TLS: self-signed."`
	TLSKey              string   `toml:"tls_key_file" comment:"PEM file of the server's key."`
	TLSClientCA         string   `toml:"tls_client_ca_file" comment:"PEM file with CAs; clients must then show a certificate of theirs. Read again when it changes."`
	TLSMinVersion       string   `toml:"tls_min_version" comment:"Oldest version of TLS: VersionTLS12 or VersionTLS13."`
	TLSCipherSuites     []string `toml:"tls_cipher_suites" comment:"Cipher suites of TLS 1.2, by their IANA names. Empty for Go's own. Those of TLS 1.3 are fixed."`
	ExecSyncOutputLimit int      `toml:"exec_sync_output_limit" comment:"Bytes kept of each output stream of an ExecSync; more is thrown away, and noted in the log. Both together are at most 16 MiB less 4 KiB, what a kubelet takes."`
	ExecSyncDrain       Duration `toml:"drain_exec_sync_io_timeout" comment:"How long to wait for output after an exec-sync'd process has exited."`
	ExecsPerContainer   int      `toml:"max_execs_per_container" comment:"How many exec sessions, and how many ExecSync, a container may have at a time, 0 for no limit. A further session is refused, a further ExecSync (a probe) waits for its turn, at most for its timeout."`
	PipeSize            int      `toml:"pipe_size" comment:"Bytes asked for as the capacity of a container's output FIFO."`
	LogRateLimit        int      `toml:"log_rate_limit" comment:"Bytes of output a second that are logged of one container; one that writes more is held back, and nothing is lost. 0 for no limit."`
	LogMaxSize          int      `toml:"log_max_size" comment:"Bytes at which a log is rotated, besides the kubelet's own rotation. 0 leaves that to the kubelet."`
	LogMaxFiles         int      `toml:"log_max_files" comment:"Logs of a container that are kept when log_max_size is set, the one in use included."`
	LogToJournald       bool     `toml:"log_to_journald" comment:"Send what containers log to systemd's journal as well; lines are dropped there when it is away or too slow."`
}

// CNI configures netsync.
type CNI struct {
	Socket         string   `toml:"socket" comment:"Internal socket. Empty: netsync.sock in the state directory."`
	ConfDir        string   `toml:"conf_dir" comment:"Directory of CNI configurations; it may appear, go and come back."`
	BinDirs        []string `toml:"bin_dirs" comment:"Directories of CNI plugins."`
	CacheDir       string   `toml:"cache_dir" comment:"Directory for libcni's results. Empty: cni in the root directory."`
	MaxConfNum     int      `toml:"max_conf_num" comment:"Networks to use from conf_dir in the order of file names, 0 for all."`
	SetupSerially  bool     `toml:"setup_serially" comment:"Attach a pod's networks one after the other."`
	IPPref         string   `toml:"ip_pref" comment:"Which address is the pod's first: ipv4, ipv6 or cni (the plugin's order)."`
	ConfTemplate   string   `toml:"conf_template" comment:"Template of a CNI configuration, rendered with the node's pod CIDRs into conf_dir. Empty: none."`
	AttachTimeout  Duration `toml:"attach_timeout" comment:"Deadline of attaching a pod."`
	DetachTimeout  Duration `toml:"detach_timeout" comment:"Deadline of detaching a pod."`
	PollInterval   Duration `toml:"poll_interval" comment:"How often conf_dir is read and plugins are asked for their STATUS besides file events."`
	StatusTimeout  Duration `toml:"status_timeout" comment:"Deadline of a plugin's STATUS."`
	GCInterval     Duration `toml:"gc_interval" comment:"How often leftover attachments are looked for; the first time right after start."`
	MaxConcurrency int      `toml:"max_concurrency" comment:"Plugin runs at the same time, 0 for no limit."`
}

// Default is a complete configuration.
func Default() *Config {
	return &Config{
		Version: Version,
		Root:    "/var/lib/trivet",
		State:   "/run/trivet",
		Log:     Log{Level: "info", Format: "text"},
		Tracing: Tracing{Insecure: true, SampleRatio: 1},
		Launcher: Launcher{
			Critical:        []string{"netsync", "streamer", "runtime"},
			StartTimeout:    Duration(60 * time.Second),
			StopTimeout:     Duration(20 * time.Second),
			DrainTimeout:    Duration(4 * time.Hour),
			HealthInterval:  Duration(2 * time.Second),
			HealthTimeout:   Duration(5 * time.Second),
			HealthThreshold: 3,
			BackoffMin:      Duration(100 * time.Millisecond),
			BackoffMax:      Duration(30 * time.Second),
			BackoffReset:    Duration(time.Minute),
		},
		Containerd: Containerd{
			Socket:         "/run/containerd/containerd.sock",
			Namespace:      "k8s.io",
			ConnectTimeout: Duration(30 * time.Second),
			RequestTimeout: Duration(2 * time.Minute),
		},
		Runtime:  defaultRuntime(),
		Image:    defaultImage(),
		Streamer: defaultStreamer(),
		CNI:      defaultCNI(),
		NRI:      defaultNRI(),
	}
}

func defaultImage() Image {
	return Image{
		Snapshotter:         "overlayfs",
		ConfigPath:          "/etc/containerd/certs.d:/etc/docker/certs.d",
		PauseImage:          BuiltInPauseImage,
		PullProgressTimeout: Duration(5 * time.Minute),
		StatsCollectPeriod:  Duration(10 * time.Second),
	}
}

func defaultStreamer() Streamer {
	return Streamer{
		Address:             "127.0.0.1",
		IdleTimeout:         Duration(4 * time.Hour),
		CreationTimeout:     Duration(30 * time.Second),
		HeaderTimeout:       Duration(10 * time.Second),
		HeaderLimit:         16 << 10,
		WaitingLimit:        1000,
		TLSMinVersion:       "VersionTLS12",
		ExecSyncOutputLimit: 16 << 20,
		ExecSyncDrain:       Duration(2 * time.Second),
		ExecsPerContainer:   128,
		PipeSize:            1 << 20,
		LogMaxFiles:         5,
	}
}

func defaultCNI() CNI {
	return CNI{
		ConfDir:       "/etc/cni/net.d",
		BinDirs:       []string{"/opt/cni/bin"},
		MaxConfNum:    1,
		IPPref:        "ipv4",
		AttachTimeout: Duration(time.Minute),
		DetachTimeout: Duration(time.Minute),
		PollInterval:  Duration(10 * time.Second),
		StatusTimeout: Duration(10 * time.Second),
		GCInterval:    Duration(10 * time.Minute),
	}
}

// LauncherSocket is the launcher's socket path.
func (c *Config) LauncherSocket() string { return c.inState(c.Launcher.Socket, "launcher.sock") }

// CRISocket is the path of the socket that the kubelet connects to.
func (c *Config) CRISocket() string { return c.inState(c.Runtime.Socket, "trivet.sock") }

// HealthSocket is where the runtime serves health apart from the CRI, so that
// waiting CRI clients never delay a health check.
func (c *Config) HealthSocket() string { return filepath.Join(c.State, "runtime-health.sock") }

// StreamerSocket is the streamer's internal socket path.
func (c *Config) StreamerSocket() string { return c.inState(c.Streamer.Socket, "streamer.sock") }

// NetSyncSocket is netsync's internal socket path.
func (c *Config) NetSyncSocket() string { return c.inState(c.CNI.Socket, "netsync.sock") }

// ContainerdState is containerd's state directory.
func (c *Config) ContainerdState() string {
	if c.Containerd.State != "" {
		return c.Containerd.State
	}
	return filepath.Dir(c.Containerd.Socket)
}

// NRISocket is where NRI plugins register.
func (c *Config) NRISocket() string { return c.inState(c.NRI.SocketPath, "nri.sock") }

// CNICacheDir is libcni's cache directory.
func (c *Config) CNICacheDir() string {
	if c.CNI.CacheDir != "" {
		return c.CNI.CacheDir
	}
	return filepath.Join(c.Root, "cni")
}

// SystemdCgroup tells whether cgroups are made through systemd.
func (c *Config) SystemdCgroup() bool {
	if c.Runtime.CgroupDriver != "" {
		return c.Runtime.CgroupDriver == "systemd"
	}
	return c.Runtime.Handlers[c.Runtime.DefaultHandler].Options.SystemdCgroup
}

func (c *Config) inState(path, name string) string {
	if path != "" {
		return path
	}
	return filepath.Join(c.State, name)
}
