package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/trivet-cri/trivet/internal/cpuset"
)

// problem is one mistake in a decoded configuration.
type problem struct {
	key  string // dotted, as in the file
	text string // what is wrong, with the value
}

// checker collects problems.
type checker struct{ problems []problem }

func (c *checker) add(key, format string, args ...any) {
	c.problems = append(c.problems, problem{key, fmt.Sprintf(format, args...)})
}

func (c *checker) absolute(key, path string) {
	if !filepath.IsAbs(path) {
		c.add(key, "%q is not an absolute path", path)
	}
}

func (c *checker) absoluteIfSet(key, path string) {
	if path != "" {
		c.absolute(key, path)
	}
}

func (c *checker) oneOf(key, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	if allowed[0] == "" {
		c.add(key, "%q is none of %s, and not empty", value, strings.Join(allowed[1:], ", "))
		return
	}
	c.add(key, "%q is none of %s", value, strings.Join(allowed, ", "))
}

func (c *checker) positive(key string, d Duration) {
	if d <= 0 {
		c.add(key, "%s is not a positive duration", d.Std())
	}
}

func (c *checker) notNegative(key string, n int) {
	if n < 0 {
		c.add(key, "%d is negative", n)
	}
}

func (c *checker) cpuset(key, list string) {
	if _, err := cpuset.Parse(list); err != nil {
		c.add(key, "%q %v", list, err)
	}
}

func (c *checker) globs(key string, globs []string) {
	for _, glob := range globs {
		if _, err := filepath.Match(glob, ""); err != nil {
			c.add(key, "%q is not a glob", glob)
		}
	}
}

// annotations checks entries of an allowed_annotations.
func (c *checker) annotations(key string, entries []string) {
	c.globs(key, entries)
	if slices.Contains(entries, "") {
		c.add(key, "%q is no annotation", "")
	}
}

// validate returns every mistake, in the order of the file's sections.
func (c *Config) validate() []problem {
	check := &checker{}
	if c.Version != Version {
		check.add("version", "%d is not %d, the version that this program reads", c.Version, Version)
	}
	check.absolute("root", c.Root)
	check.absolute("state", c.State)
	check.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	check.oneOf("log.format", c.Log.Format, "text", "json")
	c.Tracing.validate(check)
	c.Metrics.validate(check)
	c.Launcher.validate(check)
	c.Containerd.validate(check)
	c.Runtime.validate(check)
	c.Image.validate(check)
	c.Streamer.validate(check)
	c.CNI.validate(check)
	c.NRI.validate(check)
	return check.problems
}

func (t *Tracing) validate(check *checker) {
	if t.Endpoint != "" {
		host, port, err := net.SplitHostPort(t.Endpoint)
		if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || host == "" {
			check.add("tracing.endpoint", "%q is not host:port", t.Endpoint)
		}
	}
	if !(t.SampleRatio >= 0 && t.SampleRatio <= 1) { // so that NaN is refused, too
		check.add("tracing.sample_ratio", "%v is not between 0 and 1", t.SampleRatio)
	}
}

func (m *Metrics) validate(check *checker) {
	if m.Address == "" {
		return
	}
	// A name or no host at all would listen where nobody expects it.
	host, port, err := net.SplitHostPort(m.Address)
	number, bad := strconv.ParseUint(port, 10, 16)
	if _, notIP := netip.ParseAddr(host); err != nil || bad != nil || number == 0 || notIP != nil && host != "localhost" {
		check.add("metrics.address", "%q is not an IP address with a port", m.Address)
	}
}

func (l *Launcher) validate(check *checker) {
	check.absoluteIfSet("launcher.socket", l.Socket)
	check.absoluteIfSet("launcher.bin_dir", l.BinDir)
	for _, name := range l.Critical {
		check.oneOf("launcher.critical", name, "netsync", "streamer", "runtime")
	}
	check.positive("launcher.start_timeout", l.StartTimeout)
	check.positive("launcher.stop_timeout", l.StopTimeout)
	if l.DrainTimeout < 0 {
		check.add("launcher.drain_timeout", "%s is negative", l.DrainTimeout.Std())
	}
	check.positive("launcher.health_interval", l.HealthInterval)
	check.positive("launcher.health_timeout", l.HealthTimeout)
	if l.HealthThreshold < 1 {
		check.add("launcher.health_threshold", "%d is less than 1", l.HealthThreshold)
	}
	check.positive("launcher.backoff_min", l.BackoffMin)
	if l.BackoffMax < l.BackoffMin {
		check.add("launcher.backoff_max", "%s is less than backoff_min, %s", l.BackoffMax.Std(), l.BackoffMin.Std())
	}
	check.positive("launcher.backoff_reset", l.BackoffReset)
}

func (c *Containerd) validate(check *checker) {
	check.absolute("containerd.socket", c.Socket)
	check.absoluteIfSet("containerd.state", c.State)
	if c.Namespace == "" {
		check.add("containerd.namespace", "is empty")
	}
	check.positive("containerd.connect_timeout", c.ConnectTimeout)
	check.positive("containerd.request_timeout", c.RequestTimeout)
}

func (i *Image) validate(check *checker) {
	if i.Snapshotter == "" {
		check.add("image.snapshotter", "is empty")
	}
	for _, dir := range filepath.SplitList(i.ConfigPath) {
		check.absolute("image.config_path", dir)
	}
	if i.PauseImage == "" {
		check.add("image.pause_image", "is empty")
	}
	if i.PullProgressTimeout < 0 {
		check.add("image.image_pull_progress_timeout", "%s is negative", i.PullProgressTimeout.Std())
	}
	check.notNegative("image.max_concurrent_downloads", i.MaxConcurrentDownload)
	check.positive("image.stats_collect_period", i.StatsCollectPeriod)
}

func (s *Streamer) validate(check *checker) {
	check.absoluteIfSet("streamer.socket", s.Socket)
	if _, err := netip.ParseAddr(s.Address); err != nil && s.Address != "localhost" {
		// A name or nothing at all would listen where nobody expects it.
		check.add("streamer.stream_server_address", "%q is not an IP address", s.Address)
	}
	if s.Port < 0 || s.Port > 65535 {
		check.add("streamer.stream_server_port", "%d is not a port", s.Port)
	}
	s.validateStreaming(check)
	s.validateTLS(check)
	if s.ExecSyncOutputLimit < 1 {
		check.add("streamer.exec_sync_output_limit", "%d is less than 1", s.ExecSyncOutputLimit)
	}
	check.positive("streamer.drain_exec_sync_io_timeout", s.ExecSyncDrain)
	check.notNegative("streamer.max_execs_per_container", s.ExecsPerContainer)
	if s.PipeSize < 4096 {
		check.add("streamer.pipe_size", "%d is less than a page, 4096", s.PipeSize)
	}
	check.notNegative("streamer.log_rate_limit", s.LogRateLimit)
	if s.LogMaxSize != 0 && s.LogMaxSize < 1<<20 {
		check.add("streamer.log_max_size", "%d is less than %d, and not 0", s.LogMaxSize, 1<<20)
	}
	if s.LogMaxFiles < 2 {
		check.add("streamer.log_max_files", "%d is less than 2", s.LogMaxFiles)
	}
}

// validateTLS also refuses files that plain HTTP would silently not use: who
// sets a client CA believes that clients are checked.
func (s *Streamer) validateTLS(check *checker) {
	if s.TLSCert != "" && s.TLSKey == "" {
		check.add("streamer.tls_cert_file", "is set without tls_key_file")
	}
	if s.TLSKey != "" && s.TLSCert == "" {
		check.add("streamer.tls_key_file", "is set without tls_cert_file")
	}
	for _, file := range []struct{ key, path string }{
		{"streamer.tls_cert_file", s.TLSCert},
		{"streamer.tls_key_file", s.TLSKey},
		{"streamer.tls_client_ca_file", s.TLSClientCA},
	} {
		check.absoluteIfSet(file.key, file.path)
		if file.path != "" && !s.EnableTLS {
			check.add(file.key, "is set but enable_tls_streaming is not")
		}
	}
}

func (n *CNI) validate(check *checker) {
	check.absoluteIfSet("cni.socket", n.Socket)
	check.absolute("cni.conf_dir", n.ConfDir)
	if len(n.BinDirs) == 0 {
		check.add("cni.bin_dirs", "is empty")
	}
	for _, dir := range n.BinDirs {
		check.absolute("cni.bin_dirs", dir)
	}
	check.absoluteIfSet("cni.cache_dir", n.CacheDir)
	check.absoluteIfSet("cni.conf_template", n.ConfTemplate)
	check.notNegative("cni.max_conf_num", n.MaxConfNum)
	check.oneOf("cni.ip_pref", n.IPPref, "ipv4", "ipv6", "cni")
	check.positive("cni.attach_timeout", n.AttachTimeout)
	check.positive("cni.detach_timeout", n.DetachTimeout)
	check.positive("cni.poll_interval", n.PollInterval)
	check.positive("cni.status_timeout", n.StatusTimeout)
	check.positive("cni.gc_interval", n.GCInterval)
	check.notNegative("cni.max_concurrency", n.MaxConcurrency)
}
