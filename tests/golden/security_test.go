//go:build e2e

package golden_test

import (
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
)

func capabilities(add, drop, ambient []string) harness.ContainerEdit {
	return as(func(sc *runtimeapi.LinuxContainerSecurityContext) {
		sc.Capabilities = &runtimeapi.Capability{AddCapabilities: add, DropCapabilities: drop, AddAmbientCapabilities: ambient}
	})
}

func seccomp(kind runtimeapi.SecurityProfile_ProfileType, file string) harness.ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) {
		profile := &runtimeapi.SecurityProfile{ProfileType: kind}
		if file != "" {
			profile.LocalhostRef = host.path(file) // known only when the test runs
		}
		c.Linux.SecurityContext.Seccomp = profile
	}
}

// oldSeccomp uses the field that old clients know.
func oldSeccomp(text string, inDir bool) harness.ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) {
		if inDir {
			text = "localhost/" + host.path("seccomp.json")
		}
		//lint:ignore SA1019 old clients only know the deprecated field
		c.Linux.SecurityContext.SeccompProfilePath = text //nolint:staticcheck // old clients only know the deprecated field
	}
}

func apparmor(kind runtimeapi.SecurityProfile_ProfileType, ref string) harness.ContainerEdit {
	return as(func(sc *runtimeapi.LinuxContainerSecurityContext) {
		sc.Apparmor = &runtimeapi.SecurityProfile{ProfileType: kind, LocalhostRef: ref}
	})
}

func makePrivileged(c *runtimeapi.ContainerConfig) { c.Linux.SecurityContext.Privileged = true }

// kubeletPaths are what kubelets send for the default ProcMount.
func kubeletPaths(sc *runtimeapi.LinuxContainerSecurityContext) {
	sc.MaskedPaths = []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/sys/firmware"}
	sc.ReadonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

const (
	runtimeDefault = runtimeapi.SecurityProfile_RuntimeDefault
	unconfined     = runtimeapi.SecurityProfile_Unconfined
	localhost      = runtimeapi.SecurityProfile_Localhost
)

func list(items ...string) []string { return items }

var securityRequests = map[string]request{
	"no new privileges":          {edit: as(func(sc *runtimeapi.LinuxContainerSecurityContext) { sc.NoNewPrivs = true })},
	"read-only root":             {edit: as(func(sc *runtimeapi.LinuxContainerSecurityContext) { sc.ReadonlyRootfs = true })},
	"capabilities, added":        {edit: capabilities(list("NET_ADMIN", "sys_time"), nil, nil)},
	"capabilities, dropped":      {edit: capabilities(nil, list("CHOWN", "KILL"), nil)},
	"capabilities, none":         {edit: capabilities(nil, list("ALL"), nil)},
	"capabilities, all":          {edit: capabilities(list("ALL"), nil, nil)},
	"capabilities, all but one":  {edit: capabilities(list("ALL"), list("CHOWN"), nil)},
	"capabilities, one":          {edit: capabilities(list("NET_BIND_SERVICE"), list("ALL"), nil)},
	"capabilities, both":         {edit: capabilities(list("CHOWN"), list("CHOWN"), nil)},
	"capabilities, ambient":      {edit: edits(uid(1000), capabilities(list("NET_ADMIN"), nil, list("NET_ADMIN")))},
	"capabilities, empty":        {edit: capabilities(nil, nil, nil)},
	"capabilities and seccomp":   {edit: edits(capabilities(list("SYS_ADMIN", "BPF"), nil, nil), seccomp(runtimeDefault, ""))},
	"seccomp, default":           {edit: seccomp(runtimeDefault, "")},
	"seccomp, unconfined":        {edit: seccomp(unconfined, "")},
	"seccomp, from file":         {edit: seccomp(localhost, "seccomp.json")},
	"seccomp, old default":       {edit: oldSeccomp("runtime/default", false)},
	"seccomp, old docker":        {edit: oldSeccomp("docker/default", false)},
	"seccomp, old unconfined":    {edit: oldSeccomp("unconfined", false)},
	"seccomp, old from file":     {edit: oldSeccomp("", true)},
	"apparmor, unconfined":       {edit: apparmor(unconfined, "")},
	"paths of kubelets":          {edit: as(kubeletPaths)},
	"paths, unmasked":            {edit: as(func(sc *runtimeapi.LinuxContainerSecurityContext) { sc.MaskedPaths, sc.ReadonlyPaths = list(), list() })},
	"paths, masked only":         {edit: as(func(sc *runtimeapi.LinuxContainerSecurityContext) { sc.MaskedPaths = list("/bin/ls", "/proc/a b") })},
	"privileged":                 {pod: "privileged", edit: makePrivileged},
	"privileged, paths":          {pod: "privileged", edit: edits(makePrivileged, as(kubeletPaths))},
	"privileged, seccomp":        {pod: "privileged", edit: edits(makePrivileged, seccomp(runtimeDefault, ""))},
	"privileged, capabilities":   {pod: "privileged", edit: edits(makePrivileged, capabilities(nil, list("ALL"), nil))},
	"privileged, user":           {pod: "privileged", edit: edits(makePrivileged, uid(1000))},
	"privileged, read-only root": {pod: "privileged", edit: edits(makePrivileged, as(func(sc *runtimeapi.LinuxContainerSecurityContext) { sc.ReadonlyRootfs = true }))},
	"not privileged in such pod": {pod: "privileged"},
	"privileged, host network":   {pod: "privileged-host", edit: makePrivileged},
	"privileged, no devices":     {pod: "privileged-bare", edit: makePrivileged},
	"privileged, any device":     {pod: "privileged-unlocked", edit: makePrivileged},
	"privileged, other handler":  {pod: "privileged-bare", edit: edits(makePrivileged, device("/dev/null", "/dev/nought", "rw"))},
	"selinux is off": {edit: as(func(sc *runtimeapi.LinuxContainerSecurityContext) {
		sc.SelinuxOptions = &runtimeapi.SELinuxOption{User: "system_u", Role: "system_r", Type: "container_t", Level: "s0:c4,c5"}
	})},
}
