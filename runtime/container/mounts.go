package container

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	recordv1 "github.com/trivet-cri/trivet/proto/record/v1"
	"github.com/trivet-cri/trivet/runtime/imagevolume"
	"github.com/trivet-cri/trivet/runtime/operation"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// prepareMounts returns the configuration with the sources of its mounts as
// they are on this machine: images mounted, links followed, and directories
// that are missing made, as kubelets expect it for host paths. What it mounts,
// ImageVolumes.Remove takes away.
func (s *Service) prepareMounts(ctx context.Context, p *pod.Pod, c *Container, mountLabel string) (*runtimeapi.ContainerConfig, error) {
	if len(c.Config.GetMounts()) == 0 {
		return c.Config, nil
	}
	if err := spec.CheckMounts(c.Config.GetMounts(), p.Config); err != nil {
		return nil, err
	}
	skip, err := s.skipsLabelled(p)
	if err != nil {
		return nil, err
	}
	prepared := proto.Clone(c.Config).(*runtimeapi.ContainerConfig)
	for i, m := range prepared.GetMounts() {
		if m.GetImage() != nil {
			continue
		}
		field := fmt.Sprintf("mounts[%d]", i)
		source, err := hostPath(s.Config, m.GetHostPath())
		if err != nil {
			return nil, fmt.Errorf("%s.host_path %.200q: %w", field, m.GetHostPath(), err)
		}
		m.HostPath = source
		// The pod's logs have their label, and are mounted read-only.
		if m.GetSelinuxRelabel() && mountLabel != "" && !p.Files.ShowLogs(source) {
			if err := relabelVolume(source, mountLabel, skip); err != nil {
				return nil, fmt.Errorf("%s.selinux_relabel: label %.200q: %w", field, source, err)
			}
		}
	}
	if slices.ContainsFunc(c.Config.GetMounts(), func(m *runtimeapi.Mount) bool { return m.GetImage() != nil }) {
		operation.Stage(ctx, "image volumes")
		defer operation.Stage(ctx, "spec")
	}
	volumes, err := s.ImageVolumes.Create(ctx, c.owner(mountLabel), c.Config.GetMounts())
	if err != nil {
		return nil, err
	}
	c.record.Load().ImageVolumes = nil
	for _, v := range volumes {
		m := prepared.GetMounts()[v.Mount]
		m.HostPath = v.HostPath
		// Its files have their owners in the pod's user namespace already.
		m.UidMappings, m.GidMappings = nil, nil
		c.record.Load().ImageVolumes = append(c.record.Load().ImageVolumes, &recordv1.ImageVolume{
			Mount: int32(v.Mount), View: v.View, HostPath: v.HostPath, ImageRef: imageRef(v.Image),
		})
	}
	return prepared, nil
}

// owner is the container as it has image volumes.
func (c *Container) owner(mountLabel string) imagevolume.Owner {
	return imagevolume.Owner{ID: c.ID, Snapshotter: c.snapshotter, Labels: c.snapshotLabels, MountLabel: mountLabel}
}

// views are the snapshots of the container's image volumes.
func (c *Container) views() []string {
	var keys []string
	for _, v := range c.record.Load().GetImageVolumes() {
		keys = append(keys, v.GetView())
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Mounts are those of the configuration; those of images tell also where the
// image is on this machine and its digest.
func (c *Container) Mounts() []*runtimeapi.Mount {
	volumes := c.record.Load().GetImageVolumes()
	if len(volumes) == 0 {
		return c.Config.GetMounts()
	}
	mounts := append([]*runtimeapi.Mount(nil), c.Config.GetMounts()...)
	for _, v := range volumes {
		if int(v.GetMount()) >= len(mounts) {
			continue // a record of another version
		}
		m := proto.Clone(mounts[v.GetMount()]).(*runtimeapi.Mount)
		m.HostPath = v.GetHostPath()
		if m.GetImage() != nil {
			m.Image.ImageRef = v.GetImageRef()
		}
		mounts[v.GetMount()] = m
	}
	return mounts
}
