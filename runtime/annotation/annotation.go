// Package annotation knows which annotations may change a pod.
//
// Most annotations are only kept for their client. Some ask for what the CRI
// has no field for: devices, a larger /dev/shm, a profile. These take effect
// where the operator allows them, by allowed_annotations of the pod's runtime
// handler, and are ignored everywhere else. Names and values are CRI-O's.
package annotation

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// Names of annotations, as Find wants them.
const (
	CgroupWritable        = "cgroup2-mount-hierarchy-rw.crio.io"
	CPUCStates            = "cpu-c-states.crio.io"
	CPUFreqGovernor       = "cpu-freq-governor.crio.io"
	CPULoadBalancing      = "cpu-load-balancing.crio.io"
	CPUQuota              = "cpu-quota.crio.io"
	CPUShared             = "cpu-shared.crio.io"
	Devices               = "devices.crio.io"
	IRQLoadBalancing      = "irq-load-balancing.crio.io"
	LinkLogs              = "link-logs.crio.io"
	SeccompNotifierAction = "seccomp-notifier-action.crio.io"
	SeccompProfile        = "seccomp-profile.crio.io"
	ShmSize               = "shm-size.crio.io"
	TrySkipVolumeLabel    = "try-skip-volume-selinux-label.crio.io"
	Umask                 = "umask.crio.io"
	UnifiedCgroup         = "unified-cgroup.crio.io"
)

// older are the spellings that clients have used before, and still do.
var older = map[string]string{
	CgroupWritable:        "io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw",
	Devices:               "io.kubernetes.cri-o.Devices",
	LinkLogs:              "io.kubernetes.cri-o.LinkLogs",
	SeccompNotifierAction: "io.kubernetes.cri-o.seccompNotifierAction",
	SeccompProfile:        "seccomp-profile.kubernetes.cri-o.io",
	ShmSize:               "io.kubernetes.cri-o.ShmSize",
	TrySkipVolumeLabel:    "io.kubernetes.cri-o.TrySkipVolumeSELinuxLabel",
	Umask:                 "io.kubernetes.cri-o.umask",
	UnifiedCgroup:         "io.kubernetes.cri-o.UnifiedCgroup",
}

// Allowed are the entries of allowed_annotations: names, globs, or prefixes
// that end in a dot. Lists of several origins are joined by appending.
type Allowed []string

// Find is the annotation of a name that takes effect, and the key by which it
// was given, for messages; ok is false if there is none, or none that is
// allowed. A name may go on with a slash and a container's name, which is
// allowed with it. The new spelling of a name counts before older ones.
func (a Allowed) Find(annotations map[string]string, name string) (key, value string, ok bool) {
	if len(a) == 0 || len(annotations) == 0 || !a.Has(name) {
		return "", "", false
	}
	for _, key := range spellings(name) {
		if value, ok := annotations[key]; ok {
			return key, value, true
		}
	}
	return "", "", false
}

// Flag tells whether an annotation that takes effect says "true". What says
// neither this nor "false" is ErrInvalidArgument.
func (a Allowed) Flag(annotations map[string]string, name string) (bool, error) {
	key, value, _ := a.Find(annotations, name)
	switch value {
	case "true":
		return true, nil
	case "false", "":
		return false, nil
	}
	return false, Invalid(key, value, "is neither true nor false")
}

// Invalid is ErrInvalidArgument about an annotation and its value.
func Invalid(key, value, why string, args ...any) error {
	return fmt.Errorf("annotations[%q] %.200q %s: %w", key, value, fmt.Sprintf(why, args...), errdefs.ErrInvalidArgument)
}

// forRuntimes are annotations that OCI runtimes read themselves; a dot ends a prefix.
var forRuntimes = Allowed{"module.wasm.image/variant", "org.criu.config", "org.systemd.property.", "run.oci."}

// PassedOn tells whether an annotation goes into the OCI spec because it is
// allowed: those of OCI runtimes do.
func (a Allowed) PassedOn(name string) bool {
	return slices.ContainsFunc(forRuntimes, func(entry string) bool { return covers(entry, name) }) && a.Has(name)
}

// Has tells whether the annotation of a name may take effect, however the name
// or the entry for it is spelled.
func (a Allowed) Has(name string) bool {
	base, _, _ := strings.Cut(name, "/")
	names := append(spellings(name), spellings(base)...)
	return slices.ContainsFunc(a, func(entry string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return covers(entry, name) })
	})
}

func covers(entry, name string) bool {
	if strings.HasSuffix(entry, ".") {
		return strings.HasPrefix(name, entry)
	}
	ok, err := path.Match(entry, name)
	return ok && err == nil
}

// spellings of a name, the one that counts first. Older clients put a dot
// before a container's name as well.
func spellings(name string) []string {
	base, container, single := strings.Cut(name, "/")
	old, renamed := older[base]
	switch {
	case !single && renamed:
		return []string{base, old}
	case !single || !renamed:
		return []string{name}
	}
	return []string{name, old + "/" + container, base + "." + container, old + "." + container}
}

// WithDefaults adds defaults to annotations that do not have them in any
// spelling. It changes neither.
func WithDefaults(annotations, defaults map[string]string) map[string]string {
	given := make(map[string]bool, len(annotations))
	for key := range annotations {
		given[current(key)] = true
	}
	all := maps.Clone(annotations)
	for key, value := range defaults {
		if given[current(key)] {
			continue
		}
		if all == nil {
			all = make(map[string]string, len(defaults))
		}
		all[key] = value
	}
	return all
}

// current is the new spelling of a key.
func current(key string) string {
	for name, old := range older {
		if rest, ok := strings.CutPrefix(key, old); ok && (rest == "" || rest[0] == '/' || rest[0] == '.') {
			key = name + rest
			break
		}
	}
	for name := range older {
		if container, ok := strings.CutPrefix(key, name+"."); ok {
			return name + "/" + container
		}
	}
	return key
}
