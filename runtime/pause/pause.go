// Package pause runs the pause containers of pods that share their PID
// namespace: a process that does nothing but hold the namespace and reap its
// orphans.
//
// A pause container is a containerd container with its pod's id. It has no
// record of ours and no streams: the pod's record says that there is one. Its
// image is made here, so that no registry is needed, unless the configuration
// names another. What fails midway is removed by Remove, which goes on over
// whatever is missing.
package pause

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sync/singleflight"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/pauseimage"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// Containerd is what pause containers need of it; *engine.Engine has it.
type Containerd interface {
	ImageStore
	CreateContainer(ctx context.Context, c engine.ContainerRecord, s *specs.Spec, handler config.Handler) error
	DeleteContainer(ctx context.Context, id string) error
	PrepareRootfs(ctx context.Context, snapshotter, key, chainID string, labels map[string]string) ([]mount.Mount, error)
	RemoveRootfs(ctx context.Context, snapshotter, key string) error
	Tasks
}

// ImageStore takes the image.
type ImageStore interface {
	ImportImage(ctx context.Context, name engine.ImageName, manifest, config engine.Blob, layers ...engine.Blob) error
	UnpackImage(ctx context.Context, name engine.ImageName, snapshotter string) error
}

// Tasks runs containers.
type Tasks interface {
	CreateTask(ctx context.Context, id string, rootfs []mount.Mount, io engine.TaskIO, runtimePath string) (pid int, err error)
	StartTask(ctx context.Context, id string) (pid int, err error)
	KillTask(ctx context.Context, id string, signal unix.Signal, all bool) error
	DeleteTask(ctx context.Context, id string) error
	GetTask(ctx context.Context, id string) (engine.Task, error)
}

// Images finds and pulls; *image.Service does.
type Images interface {
	Resolve(ctx context.Context, ref string) (image.Image, error)
	Pull(ctx context.Context, ref string, auth *runtimeapi.AuthConfig, pod *runtimeapi.PodSandboxConfig, snapshotter string) (image.Image, error)
}

// Deps are what a service is made of.
type Deps struct {
	Config     config.Runtime
	Image      config.Image
	Systemd    bool
	Host       spec.Host
	Containerd Containerd
	Images     Images
	// KillShim ends the shims of a pause container, and tells how many there were.
	KillShim func(id string) (int, error)
	// PinShim has the shim of a pause container stay where the configuration
	// wants it.
	PinShim func(ctx context.Context, id string, handler config.Handler, pod map[string]string)
}

// Service runs pause containers. All methods may be called concurrently.
type Service struct {
	Deps
	ensuring singleflight.Group
}

// New returns a service.
func New(deps Deps) *Service { return &Service{Deps: deps} }

// what is the pause image, as far as a container needs it.
type what struct {
	name, chainID string
	config        ocispec.ImageConfig
}

// Start runs the pod's pause container and returns its process. What a failed
// start has made is for Remove.
func (s *Service) Start(ctx context.Context, p *pod.Pod) (held pod.Held, err error) {
	err = telemetry.Span(ctx, "pause.start", func(ctx context.Context) (err error) {
		held.PID, err = s.start(ctx, p)
		return err
	})
	if err != nil {
		return pod.Held{}, fmt.Errorf("start pause container: %w", err)
	}
	return held, nil
}

func (s *Service) start(ctx context.Context, p *pod.Pod) (int, error) {
	snapshotter := p.Handler.Snapshotter
	if snapshotter == "" {
		snapshotter = s.Image.Snapshotter
	}
	img, err := s.ensure(ctx, snapshotter)
	if err != nil {
		return 0, err
	}
	user, err := spec.PauseUser(p.Config.GetLinux().GetSecurityContext(), img.config.User)
	if err != nil {
		return 0, err
	}
	ociSpec, err := spec.BuildPause(spec.PauseInput{
		ID: p.ID, Pod: p.Config, Image: img.config, ImageName: img.name,
		Handler: p.Handler, Runtime: s.Config, Systemd: s.Systemd,
		Namespaces: p.Namespaces, Files: p.Files, User: user, SELinux: p.SELinux, Host: s.Host,
	})
	if err != nil {
		return 0, err
	}
	record := engine.ContainerRecord{
		ID: p.ID, Image: img.name, Snapshotter: snapshotter, SnapshotKey: p.ID,
		Labels: map[string]string{"io.trivet.kind": "pause", "io.trivet.pod": p.ID},
	}
	if err := s.Containerd.CreateContainer(ctx, record, ociSpec, p.Handler); err != nil {
		return 0, err
	}
	rootfs, err := s.Containerd.PrepareRootfs(ctx, snapshotter, p.ID, img.chainID, p.SnapshotLabels())
	if errdefs.IsNotFound(err) {
		// The image is here, but another handler's snapshotter has unpacked it.
		if img, err = s.fetch(ctx, snapshotter); err != nil {
			return 0, err
		}
		rootfs, err = s.Containerd.PrepareRootfs(ctx, snapshotter, p.ID, img.chainID, p.SnapshotLabels())
	}
	if err != nil {
		return 0, err
	}
	if _, err := s.Containerd.CreateTask(ctx, p.ID, rootfs, engine.TaskIO{}, p.Handler.Path); err != nil {
		return 0, err
	}
	pid, err := s.Containerd.StartTask(ctx, p.ID)
	if err == nil {
		s.PinShim(ctx, p.ID, p.Handler, p.Config.GetAnnotations())
	}
	return pid, err
}

// ensure finds the image, or makes or pulls it.
func (s *Service) ensure(ctx context.Context, snapshotter string) (what, error) {
	name := s.Image.PauseImage
	if found, err := s.Images.Resolve(ctx, name); err == nil {
		return what{name, found.ChainID, found.Config.Config}, nil
	}
	return s.fetch(ctx, snapshotter)
}

// fetch makes or pulls the image, unpacked in a snapshotter.
func (s *Service) fetch(ctx context.Context, snapshotter string) (what, error) {
	name := s.Image.PauseImage
	if name != config.BuiltInPauseImage {
		pulled, err := s.Images.Pull(ctx, name, nil, nil, snapshotter)
		if err != nil {
			return what{}, err
		}
		return what{name, pulled.ChainID, pulled.Config.Config}, nil
	}
	made, err, _ := s.ensuring.Do(snapshotter, func() (any, error) { return s.build(ctx, snapshotter) })
	if err != nil {
		return what{}, err
	}
	return made.(what), nil
}

// build brings the image of our own into containerd.
func (s *Service) build(ctx context.Context, snapshotter string) (what, error) {
	built, err := pauseimage.Image(runtime.GOARCH)
	if err != nil {
		return what{}, err
	}
	name := engine.ImageName{
		Name: config.BuiltInPauseImage, Target: built.Manifest.Descriptor,
		Labels: map[string]string{"io.cri-containerd.pinned": "pinned"},
	}
	if err := s.Containerd.ImportImage(ctx, name, engine.Blob(built.Manifest), engine.Blob(built.Config), engine.Blob(built.Layer)); err != nil {
		return what{}, err
	}
	if err := s.Containerd.UnpackImage(ctx, name, snapshotter); err != nil {
		return what{}, err
	}
	var image ocispec.Image
	if err := json.Unmarshal(built.Config.Bytes, &image); err != nil {
		return what{}, fmt.Errorf("decode config of pause image: %w", err)
	}
	return what{name.Name, identity.ChainID(image.RootFS.DiffIDs).String(), image.Config}, nil
}

// Look tells whether a pod's pause container runs, and its process.
func (s *Service) Look(ctx context.Context, podID string) (pid int, alive bool, err error) {
	task, err := s.Containerd.GetTask(ctx, podID)
	if errdefs.IsNotFound(err) {
		return 0, false, nil
	}
	if err != nil || task.Stopped || task.Created {
		return 0, false, err
	}
	return task.PID, true, nil
}

// Remove kills and removes a pod's pause container, or what there is of it. A
// process that does not end is an error after a while, whatever the caller's
// deadline.
func (s *Service) Remove(ctx context.Context, podID string) error {
	err := s.removeTask(ctx, podID)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		// The shim does not answer. Without it containerd itself cleans up.
		if killed, unkilled := s.KillShim(podID); killed > 0 {
			err = s.removeTask(ctx, podID)
		} else {
			err = errors.Join(err, unkilled)
		}
	}
	if err != nil {
		return err
	}
	for _, snapshotter := range s.snapshotters() {
		if err := s.Containerd.RemoveRootfs(ctx, snapshotter, podID); err != nil {
			return fmt.Errorf("remove pause container: %w", err)
		}
	}
	if err := s.Containerd.DeleteContainer(ctx, podID); err != nil {
		return fmt.Errorf("remove pause container: %w", err)
	}
	return nil
}

func (s *Service) removeTask(ctx context.Context, podID string) error {
	ctx, cancel := context.WithTimeout(ctx, s.Config.StopTimeout.Std())
	defer cancel()
	if err := engine.EndTask(ctx, s.Containerd, podID); err != nil {
		return fmt.Errorf("stop pause container: %w", err)
	}
	return nil
}

// snapshotters are all that a pause container may be in.
func (s *Service) snapshotters() []string {
	all := []string{s.Image.Snapshotter}
	for _, h := range s.Config.Handlers {
		if h.Snapshotter != "" && h.Snapshotter != s.Image.Snapshotter {
			all = append(all, h.Snapshotter)
		}
	}
	return all
}
