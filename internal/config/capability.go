package config

import (
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/pkg/cap"
)

// CapabilityName is the kernel's name of a capability, which may be written in
// any case and without CAP_, as Kubernetes does.
func CapabilityName(name string) string {
	return "CAP_" + strings.TrimPrefix(strings.ToUpper(name), "CAP_")
}

// Capabilities are the kernel's names of default_capabilities.
func (r *Runtime) Capabilities() []string {
	var all []string
	for _, c := range r.DefaultCapabilities {
		if name := CapabilityName(c); !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

func (r *Runtime) validateCapabilities(check *checker) {
	for _, c := range r.DefaultCapabilities {
		if !slices.Contains(cap.Known(), CapabilityName(c)) {
			check.add("runtime.default_capabilities", "%q is no capability", c)
		}
	}
}
