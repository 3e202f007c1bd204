package migration

import (
	"slices"
	"strings"
	"time"

	"github.com/trivet-cri/trivet/internal/config"
)

// defaults sets what containerd has for a key that its file does not have,
// where that is not what Trivet has.
func (m *migration) defaults() {
	m.differ("disable_hugetlb_controller", "containerd ignores hugepage limits unless its file says otherwise: runtime.disable_hugetlb_controller is set to keep that. Remove it to have them.",
		func(c *config.Config) { c.Runtime.DisableHugetlbController = true })
	if m.release == Release1 {
		m.differ("enable_unprivileged_ports", "containerd 1.x lets nobody bind low ports without a capability, containerd 2 and Trivet do: runtime.enable_unprivileged_ports is unset to keep that. --release 2 if the file is used with containerd 2.",
			func(c *config.Config) { c.Runtime.EnableUnprivilegedPorts = false })
		m.differ("enable_unprivileged_icmp", "The same is true of ping: runtime.enable_unprivileged_icmp.",
			func(c *config.Config) { c.Runtime.EnableUnprivilegedICMP = false })
		if !m.cdiEnabled() {
			m.take("plugins", runtimePlugin, "cdi_spec_dirs")
			m.Config.Runtime.CDISpecDirs = nil
			m.Differences = append(m.Differences, "containerd 1.x has CDI only with enable_cdi: runtime.cdi_spec_dirs is empty to keep that.")
		}
	}
	if drain, ok := m.left.get("plugins", runtimePlugin, "drain_exec_sync_io_timeout"); !ok || drain.value == "" {
		m.Differences = append(m.Differences, "containerd waits without limit for the output of an exec-sync'd process that has exited, Trivet for streamer.drain_exec_sync_io_timeout, "+
			m.Config.Streamer.ExecSyncDrain.Std().String()+".")
	}
}

// differ changes a default for a key of the runtime plugin that is not there.
func (m *migration) differ(key, why string, change func(*config.Config)) {
	if _, ok := m.left.get("plugins", runtimePlugin, key); ok {
		return
	}
	change(m.Config)
	m.Differences = append(m.Differences, why)
}

func (m *migration) cdiEnabled() bool {
	s, ok := m.left.get("plugins", runtimePlugin, "enable_cdi")
	return ok && s.value == true
}

// special looks at keys whose value means something else here.
func (m *migration) special() {
	const cdi = "Trivet has CDI where runtime.cdi_spec_dirs is not empty."
	for _, s := range m.take("plugins", runtimePlugin, "enable_cdi") {
		switch {
		case s.value != false:
			m.note(Unneeded, s, cdi)
		default:
			m.take("plugins", runtimePlugin, "cdi_spec_dirs")
			m.Config.Runtime.CDISpecDirs = nil
			m.note(Changed, s, cdi+" It was made empty.")
		}
	}
	for _, s := range m.take("plugins", runtimePlugin, "drain_exec_sync_io_timeout") {
		if s.value == "" || isZeroDuration(s.value) {
			m.note(Changed, s, "In containerd it means no limit, which Trivet does not have: streamer.drain_exec_sync_io_timeout stays "+
				m.Config.Streamer.ExecSyncDrain.Std().String()+". Set a long one if an exec's output may come late.")
			continue
		}
		m.left.put(s)
	}
	for _, s := range m.take("plugins", runtimePlugin, "unset_seccomp_profile") {
		if s.value == "docker/default" {
			m.note(Changed, s, "Its name is runtime/default.")
			s.value = "runtime/default"
		}
		m.left.put(s)
	}
	for _, s := range m.take("plugins", runtimePlugin, "selinux_category_range") {
		if s.value != int64(0) { // 0 is containerd's notation of the default
			m.left.put(s)
		}
	}
	m.server()
	m.downloads()
}

func isZeroDuration(value any) bool {
	text, _ := value.(string)
	duration, err := time.ParseDuration(text)
	return err == nil && duration == 0
}

func (m *migration) server() {
	for _, s := range m.take("plugins", criPlugin, "stream_server_address") {
		if s.value == "" {
			m.note(Lost, s, "containerd then listens on the address of the default route, Trivet on "+m.Config.Streamer.Address+
				", which is enough where the kubelet connects. Write an address if others do.")
			continue
		}
		m.left.put(s)
	}
}

// downloads looks at the limit of the CRI, 3, with which containerd uses that
// of its transfer service, as Trivet does without a limit.
func (m *migration) downloads() {
	for _, s := range m.take("plugins", imagesPlugin, "max_concurrent_downloads") {
		if s.value == int64(3) {
			m.note(Unneeded, s, `Trivet leaves it to max_concurrent_downloads of plugins."io.containerd.transfer.v1.local" in containerd's file, whose default is the same.`)
			continue
		}
		m.note(Changed, s, `Carried over. The same key of plugins."io.containerd.transfer.v1.local" in containerd's file does it for all clients and keeps containerd's image verifiers: with Trivet's they are not asked.`)
		m.left.put(s)
	}
}

// streamTLS sets both files at once: Trivet refuses one without the other.
func (m *migration) streamTLS() {
	files := m.take("plugins", criPlugin, "x509_key_pair_streaming", "*")
	var kept []setting
	for _, s := range files {
		switch name := s.path[len(s.path)-1]; {
		case !strings.EqualFold(name, "tls_cert_file") && !strings.EqualFold(name, "tls_key_file"):
			m.left.put(s)
		case s.value != "":
			kept = append(kept, s)
		}
	}
	err := m.try(func(c *config.Config) error {
		for _, s := range kept {
			field := &c.Streamer.TLSCert
			if strings.EqualFold(s.path[len(s.path)-1], "tls_key_file") {
				field = &c.Streamer.TLSKey
			}
			if err := assign(field, s.value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		for _, s := range kept {
			m.note(Lost, s, "Trivet refuses the value: "+err.Error())
		}
	}
}

// nri sets whether there are plugins, and where they register.
func (m *migration) nri() {
	_, said := m.source.settings.get("plugins", nriPlugin, "disable")
	if slices.Contains(m.disabled(), nriPlugin) || m.release == Release1 && !said {
		m.Config.NRI.Disable = true
	}
	if m.release == Release1 && !said {
		m.Differences = append(m.Differences, "containerd 1.x has NRI only when asked for it: nri.disable is set to keep that.")
	}
	if m.Config.NRI.Disable {
		return
	}
	if m.Config.NRI.SocketPath == "" {
		m.Config.NRI.SocketPath = "/var/run/nri/nri.sock"
		m.Differences = append(m.Differences, "nri.socket_path is containerd's, so that plugins find Trivet: containerd's own NRI plugin has to be disabled.")
	}
}

// disabled are the plugins that the file disables.
func (r *Result) disabled() []string {
	s, _ := r.source.settings.get("disabled_plugins")
	return s.strings()
}
