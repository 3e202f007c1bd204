package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	metadata "github.com/checkpoint-restore/checkpointctl/lib"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Facts are what a checkpoint says of its container.
type Facts struct {
	Runtime string // type of the shim
	Spec    *specs.Spec
	Status  *runtimeapi.ContainerStatus
	PID     int
	TakenAt time.Time
}

// Describe writes config.dump, spec.dump, status.dump and, for
// checkpointctl's view of containerd's checkpoints, status into dir.
func Describe(dir string, f Facts) error {
	s := f.Status
	created := time.Unix(0, s.GetCreatedAt())
	for name, content := range map[string]any{
		ConfigFile: metadata.ContainerConfig{
			ID: s.GetId(), Name: s.GetMetadata().GetName(), OCIRuntime: f.Runtime,
			RootfsImage: s.GetImage().GetImage(), RootfsImageName: s.GetImage().GetImage(), RootfsImageRef: s.GetImageRef(),
			CreatedTime: created, CheckpointedAt: f.TakenAt,
		},
		SpecFile:   f.Spec,
		StatusFile: s,
		metadata.StatusFile: metadata.ContainerdStatus{
			CreatedAt: s.GetCreatedAt(), StartedAt: s.GetStartedAt(), Pid: uint32(f.PID),
		},
	} {
		if err := writeJSON(filepath.Join(dir, name), content); err != nil {
			return err
		}
	}
	return nil
}

func writeJSON(path string, content any) error {
	text, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("encode %s: %w", filepath.Base(path), err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	return nil
}

// CopyFile copies the plain file at from to a new file at to; one that is not
// there, or is no plain file, is left out.
func CopyFile(from, to string) error {
	if info, err := os.Lstat(from); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	source, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	defer func() { _ = source.Close() }() // only read from
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	_, err = io.Copy(target, source)
	if err := errors.Join(err, target.Close()); err != nil {
		return fmt.Errorf("write checkpoint: copy %s: %w", from, err)
	}
	return nil
}

// Metadata is what an unpacked checkpoint says of its container.
type Metadata struct {
	Config metadata.ContainerConfig
	Spec   specs.Spec
}

// ReadMetadata reads what Unpack has put into dir. Files that do not fit
// together are errdefs.ErrInvalidArgument.
func ReadMetadata(dir string) (*Metadata, error) {
	m := &Metadata{}
	for name, into := range map[string]any{ConfigFile: &m.Config, SpecFile: &m.Spec} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("read checkpoint: %w", err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			return nil, fmt.Errorf("checkpoint: parse %s: %w: %w", name, err, errdefs.ErrInvalidArgument)
		}
	}
	switch {
	case m.Spec.Process == nil || len(m.Spec.Process.Args) == 0:
		return nil, fmt.Errorf("checkpoint: %s has no process: %w", SpecFile, errdefs.ErrInvalidArgument)
	case m.Spec.Linux == nil:
		return nil, fmt.Errorf("checkpoint: %s is not of a Linux container: %w", SpecFile, errdefs.ErrInvalidArgument)
	case m.Config.RootfsImageRef == "" && m.Config.RootfsImageName == "" && m.Config.RootfsImage == "":
		return nil, fmt.Errorf("checkpoint: %s names no image: %w", ConfigFile, errdefs.ErrInvalidArgument)
	}
	return m, nil
}

// ReadDeleted are the files that the container had deleted of its image, as
// Podman and CRI-O list them beside rootfs-diff.tar.
func ReadDeleted(dir string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, DeletedList))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	var files []string
	if err := json.Unmarshal(text, &files); err != nil {
		return nil, fmt.Errorf("checkpoint: parse %s: %w: %w", DeletedList, err, errdefs.ErrInvalidArgument)
	}
	return files, nil
}
