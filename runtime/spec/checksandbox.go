package spec

import (
	"fmt"
	"net/netip"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/users"
)

// podSecurityField precedes the names of a pod's security options in messages.
const podSecurityField = "linux.security_context"

// checkSandbox refuses what is wrong by itself in a pod's configuration, on
// any machine: also what would only count for its containers, which else would
// all fail in a pod that runs.
func checkSandbox(pod *runtimeapi.PodSandboxConfig) error {
	sc := pod.GetLinux().GetSecurityContext()
	if err := checkPodNamespaces(sc.GetNamespaceOptions()); err != nil {
		return err
	}
	if err := checkGroups(sc); err != nil {
		return err
	}
	if err := checkProfile(podSecurityField+".apparmor", sc.GetApparmor()); err != nil {
		return err
	}
	return checkPorts(pod.GetPortMappings())
}

func checkPodNamespaces(o *runtimeapi.NamespaceOption) error {
	const field = podSecurityField + ".namespace_options"
	for _, f := range []struct {
		name string
		mode runtimeapi.NamespaceMode
	}{{".network", o.GetNetwork()}, {".ipc", o.GetIpc()}} {
		if f.mode != runtimeapi.NamespaceMode_POD && f.mode != runtimeapi.NamespaceMode_NODE {
			return invalid(field+f.name, f.mode, "is neither POD nor NODE")
		}
	}
	switch pid := o.GetPid(); pid {
	case runtimeapi.NamespaceMode_POD, runtimeapi.NamespaceMode_CONTAINER, runtimeapi.NamespaceMode_NODE:
	default:
		return invalid(field+".pid", pid, "is none of POD, CONTAINER and NODE")
	}
	return nil
}

func checkGroups(sc *runtimeapi.LinuxSandboxSecurityContext) error {
	for i, gid := range sc.GetSupplementalGroups() {
		if gid < 0 || gid > users.MaxID {
			return invalid(fmt.Sprintf("%s.supplemental_groups[%d]", podSecurityField, i), gid, "is not between 0 and %d", users.MaxID)
		}
	}
	if _, known := runtimeapi.SupplementalGroupsPolicy_name[int32(sc.GetSupplementalGroupsPolicy())]; !known {
		return invalid(podSecurityField+".supplemental_groups_policy", sc.GetSupplementalGroupsPolicy(), "is neither Merge nor Strict")
	}
	return nil
}

// checkProfile refuses a profile of an unknown type, or with a reference that
// does not go with it.
func checkProfile(field string, profile *runtimeapi.SecurityProfile) error {
	if _, known := runtimeapi.SecurityProfile_ProfileType_name[int32(profile.GetProfileType())]; !known {
		return invalid(field+".profile_type", profile.GetProfileType(), "is unknown")
	}
	return checkRef(field, profile)
}

// maxPort is the highest of TCP, UDP and SCTP.
const maxPort = 65535

func checkPorts(ports []*runtimeapi.PortMapping) error {
	for i, p := range ports {
		field := fmt.Sprintf("port_mappings[%d]", i)
		if _, known := runtimeapi.Protocol_name[int32(p.GetProtocol())]; !known {
			return invalid(field+".protocol", p.GetProtocol(), "is unknown")
		}
		for _, f := range []struct {
			name string
			port int32
		}{{".container_port", p.GetContainerPort()}, {".host_port", p.GetHostPort()}} {
			if f.port < 0 || f.port > maxPort {
				return invalid(field+f.name, f.port, "is not between 0 and %d", maxPort)
			}
		}
		if p.GetHostPort() > 0 && p.GetContainerPort() == 0 {
			return invalid(field+".container_port", 0, "is no port to lead host_port %d to", p.GetHostPort())
		}
		if ip := p.GetHostIp(); ip != "" {
			if _, err := netip.ParseAddr(ip); err != nil {
				return invalid(field+".host_ip", ip, "is not an IP address")
			}
		}
	}
	return nil
}
