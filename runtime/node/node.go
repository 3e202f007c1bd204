// Package node knows the machine that pods run on, and whether containerd on
// it answers.
package node

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/mountsfile"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// Machine are facts that hold until the process ends.
type Machine struct {
	Host           spec.Host
	BootID         string                 // of this run of the kernel
	UserNamespaces bool                   // the kernel has them
	Bases          map[string]*specs.Spec // base specs, by runtime handler
	DefaultMounts  []mountsfile.Mount     // of all containers
}

// Detect reads the facts. An error names the file that cannot be read.
func Detect(cfg config.Runtime) (Machine, error) {
	host, err := spec.Detect()
	if err != nil {
		return Machine{}, fmt.Errorf("detect this machine: %w", err)
	}
	if host.Localtime, err = spec.Localtime(cfg.Timezone); err != nil {
		return Machine{}, fmt.Errorf("runtime.timezone: %w", err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Machine{}, fmt.Errorf("read boot id: %w", err)
	}
	m := Machine{Host: host, BootID: strings.TrimSpace(string(boot)), Bases: make(map[string]*specs.Spec)}
	if limit, err := os.ReadFile("/proc/sys/user/max_user_namespaces"); err == nil {
		m.UserNamespaces = strings.TrimSpace(string(limit)) != "0"
	}
	if cfg.DefaultMountsFile != "" {
		if m.DefaultMounts, err = mountsfile.Read(cfg.DefaultMountsFile); err != nil {
			return Machine{}, fmt.Errorf("runtime.default_mounts_file: %w", err)
		}
	}
	for name, handler := range cfg.Handlers {
		if handler.CgroupWritable && !host.CgroupV2 {
			return Machine{}, fmt.Errorf("runtime.runtimes.%s.cgroup_writable: this machine has no unified cgroup v2 hierarchy", name)
		}
		if handler.BaseRuntimeSpec == "" {
			continue
		}
		if m.Bases[name], err = readSpec(handler.BaseRuntimeSpec); err != nil {
			return Machine{}, fmt.Errorf("runtime.runtimes.%s.base_runtime_spec: %w", name, err)
		}
	}
	return m, nil
}

func readSpec(path string) (*specs.Spec, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	base := &specs.Spec{}
	if err := json.Unmarshal(text, base); err != nil {
		return nil, fmt.Errorf("decode %s: %w", path, err)
	}
	return base, nil
}
