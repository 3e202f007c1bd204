package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	metadata "github.com/checkpoint-restore/checkpointctl/lib"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/internal/version"
)

// Names in a pod's checkpoint.
const (
	PodFile        = metadata.PodDumpFile
	PodOptionsFile = metadata.PodOptionsFile
)

// podVersion is that of the layout.
const podVersion = 1

// Pod describes a pod's checkpoint.
type Pod struct {
	// Containers has the directory of each container, which is its id, by the
	// container's name.
	Containers map[string]string

	annotations map[string]string
	config      *runtimeapi.PodSandboxConfig
}

// PodOf describes a pod; the containers are for the caller to add.
func PodOf(id string, config *runtimeapi.PodSandboxConfig, handler string) *Pod {
	m := config.GetMetadata()
	p := &Pod{Containers: make(map[string]string), config: config, annotations: map[string]string{
		metadata.CheckpointAnnotationEngine:        "trivet",
		metadata.CheckpointAnnotationEngineVersion: version.String(),
		metadata.CheckpointAnnotationPod:           m.GetName(),
		metadata.CheckpointAnnotationPodID:         id,
		metadata.CheckpointAnnotationNamespace:     m.GetNamespace(),
		metadata.CheckpointAnnotationPodUID:        m.GetUid(),
		metadata.CheckpointAnnotationHostArch:      runtime.GOARCH,
	}}
	if handler != "" {
		p.annotations[metadata.CheckpointAnnotationRuntimeName] = handler
	}
	return p
}

// Write puts pod.dump and pod.options into dir; the latter, last, makes it a
// checkpoint.
func (p *Pod) Write(dir string) error {
	if err := writeJSON(filepath.Join(dir, PodFile), p.config); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, PodOptionsFile), metadata.CheckpointedPodOptions{
		Version: podVersion, Containers: p.Containers, Annotations: p.annotations,
	})
}

// ReadPod reads pod.options in dir. What is not a checkpoint of a pod, or not
// for this machine, is errdefs.ErrInvalidArgument; if there is none it is
// errdefs.ErrNotFound.
func ReadPod(dir string) (*Pod, error) {
	text, err := readDocument(dir, PodOptionsFile)
	if err != nil {
		return nil, err
	}
	return parsePod(text)
}

func parsePod(text []byte) (*Pod, error) {
	var options metadata.CheckpointedPodOptions
	if err := json.Unmarshal(text, &options); err != nil {
		return nil, fmt.Errorf("parse %s: %w: %w", PodOptionsFile, err, errdefs.ErrInvalidArgument)
	}
	if options.Version != podVersion {
		return nil, fmt.Errorf("%s has version %d, and %d is known: %w", PodOptionsFile, options.Version, podVersion, errdefs.ErrInvalidArgument)
	}
	if arch := options.Annotations[metadata.CheckpointAnnotationHostArch]; arch != "" && arch != runtime.GOARCH {
		return nil, fmt.Errorf("the checkpoint is of a machine of architecture %.20q: %w", arch, errdefs.ErrInvalidArgument)
	}
	if len(options.Containers) == 0 {
		return nil, fmt.Errorf("%s names no container: %w", PodOptionsFile, errdefs.ErrInvalidArgument)
	}
	for name, id := range options.Containers {
		// It becomes a path.
		if err := ident.Check("id of container "+name, id); err != nil {
			return nil, fmt.Errorf("%s: %w", PodOptionsFile, err)
		}
	}
	return &Pod{Containers: options.Containers, annotations: options.Annotations}, nil
}

// readDocument reads a JSON file of a directory that comes from outside.
func readDocument(dir, name string) ([]byte, error) {
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, fmt.Errorf("%.200q has no %s: %w", dir, name, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	defer func() { _ = file.Close() }() // only read from
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > maxDocument {
		return nil, fmt.Errorf("%.200q: %s is not a plain file of at most %d bytes: %w", dir, name, maxDocument, errdefs.ErrInvalidArgument)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxDocument))
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	return text, nil
}
