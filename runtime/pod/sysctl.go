package pod

import (
	"fmt"
	"maps"
	"strings"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/sysctl"
)

// everyGroup is the range of all groups, as operators write it.
const everyGroup = "0 2147483647"

// Sysctls are those of a pod: what it asks for, and the operator's defaults for
// the rest, but for those that would be the host's.
func Sysctls(cfg *runtimeapi.PodSandboxConfig, runtime *config.Runtime) map[string]string {
	asked := cfg.GetLinux().GetSysctls()
	all := maps.Clone(asked)
	if all == nil {
		all = make(map[string]string)
	}
	names := make(map[string]bool, len(asked))
	for key := range asked {
		names[sysctl.Name(key)] = true
	}
	for key, value := range runtime.Sysctls() {
		if names[sysctl.Name(key)] || ofHost(cfg, key) {
			continue
		}
		if sysctl.Name(key) == sysctl.PingRange {
			value = inUserNamespace(cfg, value)
		}
		all[key] = value
	}
	return all
}

// ofHost tells whether a sysctl is of a namespace that the pod shares with the
// host.
func ofHost(cfg *runtimeapi.PodSandboxConfig, key string) bool {
	switch sysctl.Of(key) {
	case sysctl.Net, sysctl.UTS: // the pod has both or none
		return hostNetwork(cfg)
	case sysctl.IPC:
		return cfg.GetLinux().GetSecurityContext().GetNamespaceOptions().GetIpc() == runtimeapi.NamespaceMode_NODE
	}
	return true
}

// inUserNamespace makes the range of all groups that of all which a pod with a
// user namespace has: the kernel takes no others.
func inUserNamespace(cfg *runtimeapi.PodSandboxConfig, groups string) string {
	options := cfg.GetLinux().GetSecurityContext().GetNamespaceOptions().GetUsernsOptions()
	own := mappings(options, (*runtimeapi.UserNamespace).GetGids)
	if len(own) == 0 || strings.Join(strings.Fields(groups), " ") != everyGroup {
		return groups
	}
	last := uint32(0)
	for _, m := range own {
		last = max(last, m.ContainerID+m.Size-1)
	}
	return fmt.Sprintf("0 %d", last)
}
