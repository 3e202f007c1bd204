//go:build e2e

package golden_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
)

// machine is what requests refer to: files, mounts and descriptions of
// devices, in a directory of the test's own.
type machine struct {
	dir    string
	cgroup string // parent of all pods' cgroups
	mounts []string
}

const (
	seccompProfile = `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["keyctl", "bpf"], "action": "SCMP_ACT_ERRNO"}]}`

	cdiFile = `{"cdiVersion": "0.6.0", "kind": "vendor.example/device", "containerEdits": {"env": ["VENDOR=yes"]}, "devices": [
  {"name": "null", "containerEdits": {"deviceNodes": [{"path": "/dev/vendor-null", "hostPath": "/dev/null", "permissions": "rw"}], "env": ["CDI=null"],
    "mounts": [{"hostPath": "/tmp", "containerPath": "/vendor", "options": ["ro", "nosuid", "nodev", "rbind"]}],
    "hooks": [{"hookName": "createContainer", "path": "/bin/true", "args": ["true"]}]}},
  {"name": "zero", "containerEdits": {"deviceNodes": [{"path": "/dev/zero"}]}}]}`

	baseSpec = `{"ociVersion": "1.0.2", "process": {"cwd": "/srv", "noNewPrivileges": true, "user": {"uid": 0, "gid": 0},
    "env": ["FROM_BASE=yes", "PATH=/base/bin", "WHO=base"],
    "capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_CHOWN", "CAP_KILL"], "ambient": ["CAP_KILL"]},
    "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 512, "hard": 1024}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]},
  "root": {"path": "/elsewhere"}, "hostname": "base", "annotations": {"base.example/kept": "yes"},
  "mounts": [{"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]},
    {"destination": "/run", "type": "tmpfs", "source": "tmpfs"}, {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
    {"destination": "/opt/base", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]}],
  "hooks": {"poststop": [{"path": "/bin/true"}]},
  "linux": {"sysctl": {"kernel.shmmni": "5000"}, "maskedPaths": ["/proc/keys"], "readonlyPaths": ["/proc/sys"],
    "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}, "resources": {"pids": {"limit": 100}, "devices": [{"allow": false, "access": "rwm"}]},
    "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}]}}`
)

// handlers are runtime handlers beside runc and crun: their settings in the
// words of both configurations. OCI runtimes are found on PATH, where the
// lab's are first.
var handlers = map[string]config.Handler{
	"annotated": {PodAnnotations: []string{"pod.example/*", "both.example/key"}, ContainerAnnotations: []string{"container.example/*", "both.example/?ey"}},
	"bare":      {PrivilegedWithoutHostDevices: true},
	"unlocked":  {PrivilegedWithoutHostDevices: true, PrivilegedAllDevicesAllowed: true},
	"based":     {BaseRuntimeSpec: "base.json"},
}

func newMachine(dir string) (*machine, error) {
	m := &machine{dir: dir}
	for _, sub := range []string{"logs", "cdi", "volume/sub", "other", "shared", "slave", "private"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	for name, text := range map[string]string{
		"seccomp.json": seccompProfile, "cdi/vendor.json": cdiFile, "base.json": baseSpec, "file": "text\n", "broken.json": "{",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if err := os.Symlink("volume", filepath.Join(dir, "link")); err != nil {
		return nil, err
	}
	return m, m.propagate()
}

// propagate makes a mount of each kind of propagation.
func (m *machine) propagate() error {
	shared, slave, private := filepath.Join(m.dir, "shared"), filepath.Join(m.dir, "slave"), filepath.Join(m.dir, "private")
	for _, step := range []struct {
		source, target, fstype string
		flags                  uintptr
	}{
		{"trivet-golden", shared, "tmpfs", 0},
		{"", shared, "", unix.MS_SHARED},
		{shared, slave, "", unix.MS_BIND},
		{"", slave, "", unix.MS_SLAVE},
		{"trivet-golden", private, "tmpfs", 0},
		{"", private, "", unix.MS_PRIVATE},
	} {
		if err := unix.Mount(step.source, step.target, step.fstype, step.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", step.target, err)
		}
		if step.source != "" {
			m.mounts = append(m.mounts, step.target)
		}
	}
	return nil
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

// builtInConfig is what the built-in plugin is configured with beside what
// the lab says.
func (m *machine) builtInConfig() string {
	text := fmt.Sprintf("restrict_oom_score_adj = true\ncdi_spec_dirs = [%q]\n", m.path("cdi"))
	for name, h := range handlers {
		text += fmt.Sprintf("[containerd.runtimes.%s]\nruntime_type = \"io.containerd.runc.v2\"\n", name)
		text += fmt.Sprintf("pod_annotations = %s\ncontainer_annotations = %s\n", tomlList(h.PodAnnotations), tomlList(h.ContainerAnnotations))
		text += fmt.Sprintf("privileged_without_host_devices = %t\nprivileged_without_host_devices_all_devices_allowed = %t\n",
			h.PrivilegedWithoutHostDevices, h.PrivilegedAllDevicesAllowed)
		if h.BaseRuntimeSpec != "" {
			text += fmt.Sprintf("base_runtime_spec = %q\n", m.path(h.BaseRuntimeSpec))
		}
		text += fmt.Sprintf("[containerd.runtimes.%s.options]\nRoot = %q\n", name, m.path("runc"))
	}
	return text
}

// configure gives Trivet the same.
func (m *machine) configure(c *config.Config) {
	c.Runtime.RestrictOOMScoreAdj = true
	c.Runtime.CDISpecDirs = []string{m.path("cdi")}
	for name, h := range handlers {
		h.Type, h.Sandboxer = "io.containerd.runc.v2", "podsandbox"
		h.Options.Root = m.path("runc")
		if h.BaseRuntimeSpec != "" {
			h.BaseRuntimeSpec = m.path(h.BaseRuntimeSpec)
		}
		c.Runtime.Handlers[name] = h
	}
}

func tomlList(items []string) string {
	text := "["
	for _, item := range items {
		text += fmt.Sprintf("%q, ", item)
	}
	return text + "]"
}

func (m *machine) close() error {
	var failed []error
	for i := len(m.mounts) - 1; i >= 0; i-- {
		failed = append(failed, unix.Unmount(m.mounts[i], unix.MNT_DETACH))
	}
	return errors.Join(failed...)
}
