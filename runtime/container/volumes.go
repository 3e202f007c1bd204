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
	"github.com/trivet-cri/trivet/runtime/operation"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// volumes are the volumes that the image declares and the request does not
// mount over. They live as long as the container, on disk.
func (s *Service) volumes(id string, cfg *runtimeapi.ContainerConfig, img image.Image) []spec.Volume {
	if s.Config.IgnoreImageVolumes {
		return nil
	}
	mounted := make(map[string]bool)
	for _, m := range cfg.GetMounts() {
		mounted[path.Clean(m.GetContainerPath())] = true
	}
	var volumes []spec.Volume
	for i, destination := range slices.Sorted(maps.Keys(img.Config.Config.Volumes)) {
		if mounted[path.Join("/", destination)] {
			continue
		}
		volumes = append(volumes, spec.Volume{
			HostPath: filepath.Join(s.VolumeDir, id, strconv.Itoa(i)), ContainerPath: destination,
		})
	}
	return volumes
}

// makeVolumes makes the volumes, if there are any.
func (s *Service) makeVolumes(ctx context.Context, made *undo.Stack, c *Container, volumes []spec.Volume) error {
	if len(volumes) == 0 {
		return nil
	}
	operation.Stage(ctx, "volumes")
	made.Add("volumes", func(context.Context) error { return s.removeVolumes(c.ID) })
	return s.fillVolumes(ctx, c, volumes)
}

// fillVolumes makes the volumes with what the image has in their places.
func (s *Service) fillVolumes(ctx context.Context, c *Container, volumes []spec.Volume) error {
	img, err := s.Images.Resolve(ctx, c.ImageID)
	if err != nil {
		return err
	}
	err = s.Snapshots.WithImage(ctx, c.snapshotter, img.ChainID, func(root string) error {
		for _, v := range volumes {
			if err := fillVolume(root, v); err != nil {
				return err
			}
			if c.mountLabel != "" {
				if err := label.Relabel(v.HostPath, c.mountLabel, false); err != nil {
					return fmt.Errorf("label volume for %q: %w", v.ContainerPath, err)
				}
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
