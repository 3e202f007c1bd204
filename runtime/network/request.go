package network

import (
	"fmt"
	"math"
	"strings"

	"github.com/containerd/errdefs"
	"k8s.io/apimachinery/pkg/api/resource"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	netsyncv1 "github.com/trivet-cri/trivet/proto/netsync/v1"
)

// Annotations that limit a pod's traffic (Kubernetes, traffic shaping).
const (
	ingressAnnotation = "kubernetes.io/ingress-bandwidth"
	egressAnnotation  = "kubernetes.io/egress-bandwidth"
)

// attachRequest translates a pod's CRI configuration.
func attachRequest(id string, config *runtimeapi.PodSandboxConfig, netns, confDir string) (*netsyncv1.AttachRequest, error) {
	limits, err := bandwidth(config.GetAnnotations())
	if err != nil {
		return nil, err
	}
	request := &netsyncv1.AttachRequest{
		Pod: identity(id, config), NetnsPath: netns, Network: confDir,
		PortMappings: portMappings(config.GetPortMappings()),
		Bandwidth:    limits,
		CgroupParent: config.GetLinux().GetCgroupParent(),
		Annotations:  config.GetAnnotations(),
	}
	if dns := config.GetDnsConfig(); dns != nil {
		request.Dns = &netsyncv1.DNS{Servers: dns.GetServers(), Searches: dns.GetSearches(), Options: dns.GetOptions()}
	}
	return request, nil
}

func identity(id string, config *runtimeapi.PodSandboxConfig) *netsyncv1.Pod {
	meta := config.GetMetadata()
	return &netsyncv1.Pod{Id: id, Namespace: meta.GetNamespace(), Name: meta.GetName(), Uid: meta.GetUid()}
}

// portMappings leaves out ports that ask for no host port.
func portMappings(in []*runtimeapi.PortMapping) []*netsyncv1.PortMapping {
	var out []*netsyncv1.PortMapping
	for _, m := range in {
		if m.GetHostPort() <= 0 {
			continue
		}
		out = append(out, &netsyncv1.PortMapping{
			Protocol:      strings.ToLower(m.GetProtocol().String()),
			ContainerPort: m.GetContainerPort(), HostPort: m.GetHostPort(), HostIp: m.GetHostIp(),
		})
	}
	return out
}

// bandwidth reads the limits; nil without any. The burst is unlimited, as
// other runtimes have it, but within what plugins can count.
func bandwidth(annotations map[string]string) (*netsyncv1.Bandwidth, error) {
	ingress, err := rate(annotations, ingressAnnotation)
	if err != nil {
		return nil, err
	}
	egress, err := rate(annotations, egressAnnotation)
	if err != nil || ingress == 0 && egress == 0 {
		return nil, err
	}
	limits := &netsyncv1.Bandwidth{IngressRate: ingress, EgressRate: egress}
	if ingress > 0 {
		limits.IngressBurst = math.MaxUint32
	}
	if egress > 0 {
		limits.EgressBurst = math.MaxUint32
	}
	return limits, nil
}

// The bounds are Kubernetes' own, in bits a second.
var (
	minRate = resource.MustParse("1k")
	maxRate = resource.MustParse("1P")
)

func rate(annotations map[string]string, key string) (uint64, error) {
	text, ok := annotations[key]
	if !ok {
		return 0, nil
	}
	quantity, err := resource.ParseQuantity(text)
	if err != nil {
		return 0, fmt.Errorf("annotation %s %.80q is not a quantity: %w", key, text, errdefs.ErrInvalidArgument)
	}
	if quantity.Cmp(minRate) < 0 || quantity.Cmp(maxRate) > 0 {
		return 0, fmt.Errorf("annotation %s %.80q is not between 1k and 1P: %w", key, text, errdefs.ErrInvalidArgument)
	}
	return uint64(quantity.Value()), nil
}
