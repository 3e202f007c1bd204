package pod

import (
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/selinux"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// label makes the pod's labels, whose level is the pod's until unlabel; they
// are empty without SELinux. Pods with namespaces of the host have labels as
// others do, and privileged containers drop theirs themselves.
func (s *Service) label(cfg *runtimeapi.PodSandboxConfig, handler config.Handler) (spec.SELinux, error) {
	options := cfg.GetLinux().GetSecurityContext().GetSelinuxOptions()
	return s.Labels.Make("linux.security_context.selinux_options", options, selinux.VM(handler.Type))
}

// unlabel gives the level back, once; the caller has the pod's turn.
func (s *Service) unlabel(p *Pod) {
	if p.labelled {
		p.labelled = false
		s.Labels.Release(p.SELinux.MountLabel)
	}
}
