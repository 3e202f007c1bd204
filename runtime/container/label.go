package container

import (
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/selinux"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// label are the container's labels: those of its own options, whose level is
// then the container's until unlabel, else the pod's.
func (s *Service) label(p *pod.Pod, c *Container) (spec.SELinux, error) {
	options := c.Config.GetLinux().GetSecurityContext().GetSelinuxOptions()
	if options == nil {
		return p.SELinux, nil
	}
	labels, err := s.Labels.Make("config.linux.security_context.selinux_options", options, selinux.VM(p.Handler.Type))
	if err == nil {
		c.ownLabel = labels.MountLabel
	}
	return labels, err
}

// relabel holds the level again that a container of an earlier process has.
func (s *Service) relabel(c *Container) {
	if c.Config.GetLinux().GetSecurityContext().GetSelinuxOptions() != nil {
		c.ownLabel = c.mountLabel
		s.Labels.Hold(c.ownLabel)
	}
}

// unlabel gives the level back, once; the caller has the container's turn.
func (s *Service) unlabel(c *Container) {
	s.Labels.Release(c.ownLabel)
	c.ownLabel = ""
}
