package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	continuity "github.com/containerd/continuity/fs"
	"github.com/opencontainers/selinux/go-selinux/label"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/internal/undo"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/mountsfile"
	"github.com/trivet-cri/trivet/runtime/operation"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// volume is a directory or file of the container's own that Trivet fills.
type volume struct {
	spec.Volume
	// from is the node's; nil for what the image declares.
	from *mountsfile.Mount
}

// volumes are those that the node has for all containers and those that the
// image declares, except where the request mounts. The node's count before
// the image's. They live as long as the container, on disk.
func (s *Service) volumes(id string, cfg *runtimeapi.ContainerConfig, img image.Image) ([]volume, error) {
	taken := make(map[string]bool)
	for _, m := range cfg.GetMounts() {
		taken[path.Clean(m.GetContainerPath())] = true
	}
	var volumes []volume
	add := func(name, destination string, from *mountsfile.Mount) {
		at := spec.Volume{HostPath: filepath.Join(s.VolumeDir, id, name), ContainerPath: destination}
		taken[path.Join("/", destination)] = true
		volumes = append(volumes, volume{at, from})
	}
	for i, m := range s.DefaultMounts {
		if taken[m.Target] {
			continue
		}
		exists, err := m.Exists()
		if err != nil {
			return nil, err
		}
		if exists {
			add("default-"+strconv.Itoa(i), m.Target, &m)
		}
	}
	if s.Config.IgnoreImageVolumes {
		return volumes, nil
	}
	for i, destination := range slices.Sorted(maps.Keys(img.Config.Config.Volumes)) {
		if !taken[path.Join("/", destination)] {
			add(strconv.Itoa(i), destination, nil)
		}
	}
	return volumes, nil
}

// binds are the volumes as a spec has them.
func binds(volumes []volume) []spec.Volume {
	var all []spec.Volume
	for _, v := range volumes {
		all = append(all, v.Volume)
	}
	return all
}

// makeVolumes makes the volumes, if there are any.
func (s *Service) makeVolumes(ctx context.Context, made *undo.Stack, c *Container, volumes []volume) error {
	if len(volumes) == 0 {
		return nil
	}
	operation.Stage(ctx, "volumes")
	made.Add("volumes", func(context.Context) error { return s.removeVolumes(c.ID) })
	var ofImage []spec.Volume
	for _, v := range volumes {
		if v.from == nil {
			ofImage = append(ofImage, v.Volume)
			continue
		}
		if err := os.MkdirAll(filepath.Dir(v.HostPath), 0o755); err != nil {
			return fmt.Errorf("make volume for %q: %w", v.ContainerPath, err)
		}
		if err := v.from.Copy(ctx, v.HostPath); err != nil {
			return err
		}
		if err := c.relabel(v.Volume); err != nil {
			return err
		}
	}
	return s.fillVolumes(ctx, c, ofImage)
}

// relabel gives a volume the container's SELinux label.
func (c *Container) relabel(v spec.Volume) error {
	if c.mountLabel == "" {
		return nil
	}
	if err := label.Relabel(v.HostPath, c.mountLabel, false); err != nil {
		return fmt.Errorf("label volume for %q: %w", v.ContainerPath, err)
	}
	return nil
}

// fillVolumes makes the volumes with what the image has in their places.
func (s *Service) fillVolumes(ctx context.Context, c *Container, volumes []spec.Volume) error {
	if len(volumes) == 0 {
		return nil
	}
	img, err := s.Images.Resolve(ctx, c.ImageID)
	if err != nil {
		return err
	}
	err = s.Snapshots.WithImage(ctx, c.snapshotter, img.ChainID, func(root string) error {
		for _, v := range volumes {
			if err := fillVolume(root, v); err != nil {
				return err
			}
			if err := c.relabel(v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("make the image's volumes: %w", err)
	}
	return nil
}

func fillVolume(root string, v spec.Volume) error {
	if err := os.MkdirAll(v.HostPath, 0o755); err != nil {
		return fmt.Errorf("make volume for %q: %w", v.ContainerPath, err)
	}
	// Links in the image never lead out of it.
	source, err := continuity.RootPath(root, v.ContainerPath)
	if err != nil {
		return fmt.Errorf("find %q in the image: %w", v.ContainerPath, err)
	}
	if info, err := os.Stat(source); errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil
	} else if err != nil {
		return fmt.Errorf("find %q in the image: %w", v.ContainerPath, err)
	}
	if err := continuity.CopyDir(v.HostPath, source); err != nil {
		return fmt.Errorf("copy %q of the image: %w", v.ContainerPath, err)
	}
	return nil
}

func (s *Service) removeVolumes(id string) error {
	if err := os.RemoveAll(filepath.Join(s.VolumeDir, id)); err != nil {
		return fmt.Errorf("remove volumes of container %s: %w", id, err)
	}
	return nil
}

// listVolumes returns the ids of containers with volumes.
func (s *Service) listVolumes() ([]string, error) {
	ids, err := ident.InDir(s.VolumeDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	return ids, nil
}
