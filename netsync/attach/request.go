package attach

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/netsync/ledger"
)

// Request describes the attachment that is wanted.
type Request struct {
	Pod ledger.Pod
	// NetNS is the path of the pinned network namespace.
	NetNS string
	// Group is a runtime handler's configuration directory, empty for the default.
	Group        string
	PortMappings []PortMapping
	// Bandwidth is nil without limits.
	Bandwidth *Bandwidth
	// DNS is nil when the pod brings none.
	DNS          *DNS
	CgroupParent string
	Annotations  map[string]string
}

// PortMapping is an element of the capability "portMappings".
type PortMapping struct {
	HostPort      int32  `json:"hostPort"`
	ContainerPort int32  `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP,omitempty"`
}

// Bandwidth is the capability "bandwidth", in bits and bits a second.
type Bandwidth struct {
	IngressRate  uint64 `json:"ingressRate,omitempty"`
	IngressBurst uint64 `json:"ingressBurst,omitempty"`
	EgressRate   uint64 `json:"egressRate,omitempty"`
	EgressBurst  uint64 `json:"egressBurst,omitempty"`
}

// DNS is the capability "dns".
type DNS struct {
	Servers  []string `json:"servers,omitempty"`
	Searches []string `json:"searches,omitempty"`
	Options  []string `json:"options,omitempty"`
}

// ipRange is an element of the capability "ipRanges".
type ipRange struct {
	Subnet string `json:"subnet"`
}

// validate checks what does not depend on the machine. Errors are
// ErrInvalidArgument and name the field.
func (r *Request) validate() error {
	if err := ident.Check("pod id", r.Pod.ID); err != nil {
		return err
	}
	for field, value := range map[string]string{
		"pod namespace": r.Pod.Namespace, "pod name": r.Pod.Name, "pod uid": r.Pod.UID,
	} {
		// CNI_ARGS is one string of pairs: a separator in a value would
		// smuggle in a pair of its own.
		if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == ';' || c == '=' }) {
			return fmt.Errorf("%s %q contains a separator of CNI_ARGS: %w", field, value, errdefs.ErrInvalidArgument)
		}
	}
	for i, m := range r.PortMappings {
		if err := m.validate(); err != nil {
			return fmt.Errorf("port mapping %d: %w: %w", i, err, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

func (m *PortMapping) validate() error {
	switch {
	case m.Protocol != "tcp" && m.Protocol != "udp" && m.Protocol != "sctp":
		return fmt.Errorf("protocol %q is none of tcp, udp, sctp", m.Protocol)
	case m.ContainerPort < 1 || m.ContainerPort > 65535:
		return fmt.Errorf("container port %d is not a port", m.ContainerPort)
	case m.HostPort < 1 || m.HostPort > 65535:
		return fmt.Errorf("host port %d is not a port", m.HostPort)
	case m.HostIP == "":
		return nil
	}
	if _, err := netip.ParseAddr(m.HostIP); err != nil {
		return fmt.Errorf("host IP %q is not an address", m.HostIP)
	}
	return nil
}

// args are the CNI_ARGS that Kubernetes plugins expect.
func (r *Request) args() [][2]string {
	return [][2]string{
		{"IgnoreUnknown", "1"},
		{"K8S_POD_NAMESPACE", r.Pod.Namespace},
		{"K8S_POD_NAME", r.Pod.Name},
		{"K8S_POD_INFRA_CONTAINER_ID", r.Pod.ID},
		{"K8S_POD_UID", r.Pod.UID},
	}
}

// capabilities are all that a plugin could ask for, by the names of the CNI
// conventions; podCIDRs are the node's, for plugins that take their ranges
// from the runtime.
func (r *Request) capabilities(podCIDRs []string) (map[string]json.RawMessage, error) {
	values := map[string]any{}
	if len(r.PortMappings) > 0 {
		values["portMappings"] = r.PortMappings
	}
	if r.Bandwidth != nil {
		values["bandwidth"] = r.Bandwidth
	}
	if r.DNS != nil {
		values["dns"] = r.DNS
	}
	if r.CgroupParent != "" {
		values["cgroupPath"] = r.CgroupParent
	}
	if r.Pod.Name != "" {
		values["aliases"] = []string{r.Pod.Name}
	}
	if len(r.Annotations) > 0 {
		values["io.kubernetes.cri.pod-annotations"] = r.Annotations
	}
	if len(podCIDRs) > 0 {
		// One list an address family: the pod gets an address of each.
		var sets [][]ipRange
		for _, cidr := range podCIDRs {
			sets = append(sets, []ipRange{{Subnet: cidr}})
		}
		values["ipRanges"] = sets
	}
	encoded := make(map[string]json.RawMessage, len(values))
	for name, value := range values {
		data, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("capability %s: %w", name, err)
		}
		encoded[name] = data
	}
	return encoded, nil
}
