package config

import "github.com/trivet-cri/trivet/internal/sysctl"

// Sysctls are default_sysctls by key, of which Load has seen that they can be
// read.
func (r *Runtime) Sysctls() map[string]string {
	all := make(map[string]string, len(r.DefaultSysctls))
	for _, text := range r.DefaultSysctls {
		if key, value, err := sysctl.Parse(text); err == nil {
			all[key] = value
		}
	}
	return all
}

func (r *Runtime) validateSysctls(check *checker) {
	seen := make(map[string]bool)
	for _, text := range r.DefaultSysctls {
		key, _, err := sysctl.Parse(text)
		switch name := sysctl.Name(key); {
		case err != nil:
			check.add("runtime.default_sysctls", "%v", err)
		case sysctl.Of(key) == sysctl.None:
			check.add("runtime.default_sysctls", "%q belongs to no namespace of a pod", text)
		case seen[name]:
			check.add("runtime.default_sysctls", "%q: %s is there twice", text, name)
		default:
			seen[name] = true
		}
	}
}
