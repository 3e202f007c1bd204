package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/selinux/go-selinux/label"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/spec"
	"github.com/trivet-cri/trivet/runtime/users"
)

// spec builds the container's OCI spec from all that it depends on.
func (s *Service) spec(ctx context.Context, p *pod.Pod, c *Container, img image.Image, volumes []spec.Volume) (*specs.Spec, error) {
	sc := c.Config.GetLinux().GetSecurityContext()
	db, err := s.accounts.of(ctx, s.Snapshots, c.snapshotter, img.ChainID)
	if err != nil {
		return nil, err
	}
	user, err := users.Resolve(db, sc, img.Config.Config.User)
	if err != nil {
		return nil, err
	}
	namespaces, err := s.namespaces(p, c.Config)
	if err != nil {
		return nil, err
	}
	selinux, err := s.selinux(p, c.Config)
	if err != nil {
		return nil, err
	}
	prepared, err := s.prepareMounts(c.Config, selinux.MountLabel)
	if err != nil {
		return nil, err
	}
	handlerName := p.HandlerName
	if handlerName == "" {
		handlerName = s.Config.DefaultHandler
	}
	return spec.Build(spec.Input{
		ID: c.ID, PodID: p.ID, Pod: p.Config, Config: prepared, Image: img.Config.Config, ImageName: img.DisplayName(),
		Handler: p.Handler, HandlerName: handlerName, Runtime: s.Config, Systemd: s.Systemd,
		Namespaces: namespaces, Files: p.Files, Volumes: volumes, User: user, SELinux: selinux,
		Base: s.Bases[handlerName], Host: s.Host, CDI: s.CDI,
	})
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

// selinux are the container's labels: its own options, else the pod's.
func (s *Service) selinux(p *pod.Pod, cfg *runtimeapi.ContainerConfig) (spec.SELinux, error) {
	if !s.Config.EnableSELinux {
		return spec.SELinux{}, nil
	}
	options := cfg.GetLinux().GetSecurityContext().GetSelinuxOptions()
	if options == nil {
		return p.SELinux, nil
	}
	process, mount, err := label.InitLabels(pod.LabelOptions(options))
	if err != nil {
		return spec.SELinux{}, fmt.Errorf("config.linux.security_context.selinux_options %v: %w: %w", options, err, errdefs.ErrInvalidArgument)
	}
	return spec.SELinux{ProcessLabel: process, MountLabel: mount}, nil
}

// prepareMounts returns the configuration with the sources of its mounts as
// they are on this machine: links followed, and directories that are missing
// made, as kubelets expect it for host paths.
func (s *Service) prepareMounts(cfg *runtimeapi.ContainerConfig, mountLabel string) (*runtimeapi.ContainerConfig, error) {
	if len(cfg.GetMounts()) == 0 {
		return cfg, nil
	}
	prepared := proto.Clone(cfg).(*runtimeapi.ContainerConfig)
	for i, m := range prepared.GetMounts() {
		field := fmt.Sprintf("mounts[%d]", i)
		if m.GetImage().GetImage() != "" {
			return nil, fmt.Errorf("%s.image %q: mounts of images are not supported: %w", field, m.GetImage().GetImage(), errdefs.ErrNotImplemented)
		}
		if !filepath.IsAbs(m.GetHostPath()) || !filepath.IsAbs(m.GetContainerPath()) {
			continue // refused with the rest of the spec, before anything is made
		}
		source, err := hostPath(m.GetHostPath())
		if err != nil {
			return nil, fmt.Errorf("%s.host_path %.200q: %w", field, m.GetHostPath(), err)
		}
		m.HostPath = source
		if m.GetSelinuxRelabel() && mountLabel != "" {
			if err := label.Relabel(source, mountLabel, false); err != nil && !errors.Is(err, unix.ENOTSUP) {
				return nil, fmt.Errorf("%s: relabel %.200q: %w", field, source, err)
			}
		}
	}
	return prepared, nil
}

func hostPath(path string) (string, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}
