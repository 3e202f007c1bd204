package service

import (
	netsyncv1 "github.com/trivet-cri/trivet/proto/netsync/v1"

	"github.com/trivet-cri/trivet/netsync/attach"
	"github.com/trivet-cri/trivet/netsync/ledger"
)

// requestOf translates; attach validates.
func requestOf(pod ledger.Pod, req *netsyncv1.AttachRequest) attach.Request {
	r := attach.Request{
		Pod: pod, NetNS: req.GetNetnsPath(), Group: req.GetNetwork(),
		CgroupParent: req.GetCgroupParent(), Annotations: req.GetAnnotations(),
	}
	for _, m := range req.GetPortMappings() {
		r.PortMappings = append(r.PortMappings, attach.PortMapping{
			HostPort: m.GetHostPort(), ContainerPort: m.GetContainerPort(), Protocol: m.GetProtocol(), HostIP: m.GetHostIp(),
		})
	}
	if b := req.GetBandwidth(); b != nil {
		r.Bandwidth = &attach.Bandwidth{
			IngressRate: b.GetIngressRate(), IngressBurst: b.GetIngressBurst(),
			EgressRate: b.GetEgressRate(), EgressBurst: b.GetEgressBurst(),
		}
	}
	if d := req.GetDns(); d != nil {
		r.DNS = &attach.DNS{Servers: d.GetServers(), Searches: d.GetSearches(), Options: d.GetOptions()}
	}
	return r
}
