package container

import (
	"errors"

	gselinux "github.com/opencontainers/selinux/go-selinux"
	"github.com/opencontainers/selinux/go-selinux/label"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/runtime/annotation"
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

// skipsLabelled tells whether volumes of a pod keep the labels of their files
// if they have the right one themselves: those of large volumes take long.
func (s *Service) skipsLabelled(p *pod.Pod) (bool, error) {
	allowed := annotation.Allowed(s.Config.AllowedAnnotations(&p.Handler, p.Config.GetAnnotations()))
	return allowed.Flag(p.Config.GetAnnotations(), annotation.TrySkipVolumeLabel)
}

// relabelVolume labels a volume with all that is in it. It refuses the system's
// own directories.
func relabelVolume(source, mountLabel string, skipLabelled bool) error {
	if skipLabelled {
		has, err := gselinux.FileLabel(source)
		if want, wrong := gselinux.CanonicalizeContext(mountLabel); err == nil && wrong == nil && has == want {
			return nil
		}
	}
	if err := label.Relabel(source, mountLabel, false); err != nil && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return nil
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
