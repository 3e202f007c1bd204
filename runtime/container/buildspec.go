package container

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/spec"
	"github.com/trivet-cri/trivet/runtime/users"
)

// spec builds the container's OCI spec from all that it depends on, with
// volumes that are yet to be made.
func (s *Service) spec(ctx context.Context, p *pod.Pod, c *Container, img image.Image) (_ *specs.Spec, volumes []volume, err error) {
	sc := c.Config.GetLinux().GetSecurityContext()
	var db *users.Database
	err = s.unpacked(ctx, img, c.snapshotter, func() (err error) {
		db, err = s.accounts.of(ctx, s.Snapshots, c.snapshotter, img.ChainID)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	user, err := users.Resolve(db, sc, img.Config.Config.User)
	if err != nil {
		return nil, nil, err
	}
	namespaces, err := s.namespaces(p, c.Config)
	if err != nil {
		return nil, nil, err
	}
	labels, err := s.label(p, c)
	if err != nil {
		return nil, nil, err
	}
	prepared, err := s.prepareMounts(ctx, p, c, labels.MountLabel)
	if err != nil {
		return nil, nil, err
	}
	if volumes, err = s.volumes(c.ID, c.Config, img); err != nil {
		return nil, nil, err
	}
	handlerName := p.HandlerName
	if handlerName == "" {
		handlerName = s.Config.DefaultHandler
	}
	features, err := s.features(ctx, handlerName, c.Config)
	if err != nil {
		return nil, nil, err
	}
	imageName := c.Config.GetImage().GetUserSpecifiedImage()
	if imageName == "" {
		imageName = img.DisplayName()
	}
	in := spec.Input{
		ID: c.ID, PodID: p.ID, Pod: p.Config, Config: prepared, Image: img.Config.Config, ImageName: imageName, ImageAnnotations: img.Annotations,
		Handler: p.Handler, HandlerName: handlerName, Features: features, Runtime: s.Config, Systemd: s.Systemd,
		Namespaces: namespaces, Files: p.Files, Volumes: binds(volumes), User: user, SELinux: labels,
		Base: s.Bases[handlerName], Host: s.Host, CDI: s.CDI, Classes: s.Classes, Hooks: s.OCIHooks,
		SeccompSocket: s.seccompSocket(p, c.ID),
	}
	if err := s.fetchProfile(ctx, c, &in); err != nil {
		return nil, nil, err
	}
	built, err := spec.Build(in)
	return built, volumes, err
}

// features are what a handler can do. It is asked only if the container needs
// anything of it.
func (s *Service) features(ctx context.Context, handler string, cfg *runtimeapi.ContainerConfig) (spec.Features, error) {
	if !spec.NeedsFeatures(cfg) {
		return spec.Features{}, nil
	}
	return s.Handlers.Features(ctx, handler)
}

// namespaces are those of the pod, with the PID namespace that the container
// asks for.
func (s *Service) namespaces(p *pod.Pod, cfg *runtimeapi.ContainerConfig) (spec.Namespaces, error) {
	const field = "config.linux.security_context.namespace_options"
	ns := p.Namespaces
	options := cfg.GetLinux().GetSecurityContext().GetNamespaceOptions()
	switch options.GetPid() {
	case runtimeapi.NamespaceMode_POD:
		pid := p.State().PausePID
		if pid == 0 && p.SharesPID() {
			return ns, fmt.Errorf("pod %s: its pause container has not been found yet: %w", p.ID, errdefs.ErrUnavailable)
		}
		if pid != 0 {
			ns.PID = pidNamespace(pid)
		}
	case runtimeapi.NamespaceMode_TARGET:
		target, err := s.Get(options.GetTargetId())
		if err != nil {
			return ns, fmt.Errorf("%s.target_id: %w", field, err)
		}
		if target.PodID != p.ID {
			return ns, fmt.Errorf("%s.target_id %q is a container of another pod: %w", field, options.GetTargetId(), errdefs.ErrInvalidArgument)
		}
		pid := target.State().PID
		if !target.Running() || pid == 0 {
			return ns, fmt.Errorf("%s.target_id %q does not run: %w", field, options.GetTargetId(), errdefs.ErrFailedPrecondition)
		}
		ns.PID = pidNamespace(pid)
	}
	return ns, nil
}

func pidNamespace(pid int) string { return fmt.Sprintf("/proc/%d/ns/pid", pid) }
