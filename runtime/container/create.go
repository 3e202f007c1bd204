package container

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/internal/undo"
	recordv1 "github.com/trivet-cri/trivet/proto/record/v1"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/operation"
	"github.com/trivet-cri/trivet/runtime/pod"
)

// Create makes a container in a pod and returns it. It is idempotent by pod
// and metadata: a retry joins the creation under way, or gets the container
// that it has led to, if the configuration is the same and it was not started;
// else errdefs.ErrAlreadyExists. Other errors: InvalidArgument with field and
// value, NotFound (the image), FailedPrecondition (the pod is not ready, or
// this machine cannot do it), those of containerd, and DeadlineExceeded when
// ctx ends first; the creation then goes on.
func (s *Service) Create(ctx context.Context, p *pod.Pod, cfg *runtimeapi.ContainerConfig) (*Container, error) {
	return s.CreateFrom(ctx, p, cfg, "")
}

// CreateFrom is Create for a container whose start continues the checkpoint
// in the directory from. cfg must describe the process that was checkpointed.
// With an empty from it is Create.
func (s *Service) CreateFrom(ctx context.Context, p *pod.Pod, cfg *runtimeapi.ContainerConfig, from string) (*Container, error) {
	if cfg.GetMetadata().GetName() == "" {
		return nil, fmt.Errorf("config.metadata.name is empty: %w", errdefs.ErrInvalidArgument)
	}
	key := keyOf(p.ID, cfg.GetMetadata())
	what := fmt.Sprintf("create container %s in pod %s", cfg.GetMetadata().GetName(), p.ID)
	c, err := operation.Do(ctx, s.operations, key, what, s.createLimit(p), func(ctx context.Context) (*Container, error) {
		leave, err := p.Enter()
		if err != nil {
			return nil, err
		}
		defer leave()
		if c, err := s.existing(key, cfg, from); c != nil || err != nil {
			return c, err
		}
		return s.create(ctx, p, cfg, from)
	})
	if err != nil {
		return nil, err
	}
	// The creation that was joined may have been asked for otherwise.
	if !c.same(cfg, from) {
		return nil, c.taken()
	}
	return c, nil
}

// createLimit is how long the creation of a container may take.
func (s *Service) createLimit(p *pod.Pod) time.Duration {
	if own := p.Handler.ContainerCreateTimeout.Std(); own > 0 {
		return own
	}
	return s.Config.CreateTimeout.Std()
}

// same tells whether the container is what a request asks for.
func (c *Container) same(cfg *runtimeapi.ContainerConfig, from string) bool {
	if from == "" && c.record.Load().GetCheckpoint() != "" {
		from = cfg.GetImage().GetImage() // a checkpoint itself
	}
	return c.record.Load().GetCheckpoint() == from && proto.Equal(c.Config, cfg)
}

// existing is the container that an earlier call with the same metadata made.
func (s *Service) existing(key string, cfg *runtimeapi.ContainerConfig, from string) (*Container, error) {
	s.mu.Lock()
	id := s.byKey[key]
	s.mu.Unlock()
	c, ok := s.containers.All()[id]
	if !ok {
		return nil, nil
	}
	state := c.State()
	if state.Phase == runtimeapi.ContainerState_CONTAINER_CREATED && !state.Removing && c.same(cfg, from) {
		return c, nil
	}
	return nil, c.taken()
}

func (c *Container) taken() error {
	return fmt.Errorf("container %s exists, with id %s, and was made otherwise or has been started: %w", c.key, c.ID, errdefs.ErrAlreadyExists)
}

func (s *Service) create(ctx context.Context, p *pod.Pod, cfg *runtimeapi.ContainerConfig, from string) (_ *Container, err error) {
	operation.Stage(ctx, "image")
	img, restored, err := s.source(ctx, p, cfg, from)
	if err != nil {
		return nil, err
	}
	defer restored.end(&err)
	c, err := s.blank(p, cfg, img)
	if err != nil {
		return nil, err
	}
	telemetry.Pod(ctx, p.ID, c.Streams.GetPodNamespace(), c.Streams.GetPodName(), c.Streams.GetPodUid())
	telemetry.Container(ctx, c.ID, cfg.GetMetadata().GetName())
	defer s.containers.Begin(c.ID, c)() // the sweep spares it
	var made undo.Stack
	defer func() {
		if undone := made.Run(ctx, undoLimit); undone != nil {
			s.logger(c).WarnContext(ctx, "the failed creation of a container was not undone whole; the sweep will finish it", "error", undone)
		}
	}()

	made.Add("image volumes", func(ctx context.Context) error { return s.ImageVolumes.Remove(ctx, c.ID) })
	if err := restored.adopt(c, p, &made); err != nil {
		return nil, err
	}
	operation.Stage(ctx, "spec")
	made.Add("SELinux labels", func(context.Context) error { s.unlabel(c); return nil })
	ociSpec, volumes, err := s.spec(ctx, p, c, img)
	if err != nil {
		return nil, err
	}
	c.User, c.mountLabel = ociSpec.Process.User, ociSpec.Linux.MountLabel
	if err := s.complete(ctx, &made, p, c, ociSpec); err != nil {
		return nil, err
	}
	if err := restored.fit(ociSpec); err != nil {
		return nil, err
	}
	c.cgroupsPath = ociSpec.Linux.CgroupsPath
	c.setLimits(ociSpec)
	// Before the record: what the record tells of is whole.
	if err := s.makeVolumes(ctx, &made, c, volumes); err != nil {
		return nil, err
	}
	if err := linkLog(&made, p, c); err != nil {
		return nil, err
	}
	if err := s.enter(ctx, &made, p, c, img, ociSpec); err != nil {
		return nil, err
	}
	operation.Stage(ctx, "snapshot")
	made.Add("snapshot", func(ctx context.Context) error { return s.Snapshots.RemoveRootfs(ctx, c.snapshotter, c.ID) })
	if c.rootfs, err = s.prepareRootfs(ctx, c, img); err != nil {
		return nil, err
	}
	made.Release()
	s.add(c)
	s.logger(c).InfoContext(ctx, "container is created", "image", cfg.GetImage().GetImage())
	s.Hooks.ContainerCreated(ctx, c)
	return c, nil
}

// enter makes the container's record.
func (s *Service) enter(ctx context.Context, made *undo.Stack, p *pod.Pod, c *Container, img image.Image, ociSpec *specs.Spec) error {
	operation.Stage(ctx, "record")
	made.Add("record", func(ctx context.Context) error { return s.Records.DeleteContainer(ctx, c.ID) })
	record := engine.ContainerRecord{
		ID: c.ID, Labels: c.labels(), Image: img.Names()[0], Snapshotter: c.snapshotter, SnapshotKey: c.ID,
		Views: c.views(), Record: c.record.Load(), SandboxID: p.SandboxID(),
	}
	return s.Records.CreateContainer(ctx, record, ociSpec, c.Handler)
}

// complete has plugins adjust a container's spec, and sees to what depends on
// their choices.
func (s *Service) complete(ctx context.Context, made *undo.Stack, p *pod.Pod, c *Container, ociSpec *specs.Spec) error {
	if err := s.ask(ctx, made, p, c, ociSpec); err != nil {
		return err
	}
	if err := s.shape(c, ociSpec); err != nil {
		return err
	}
	return s.hear(made, p, c, ociSpec)
}

// ask lets plugins adjust a container's spec, or refuse it.
func (s *Service) ask(ctx context.Context, made *undo.Stack, p *pod.Pod, c *Container, ociSpec *specs.Spec) error {
	operation.Stage(ctx, "plugins")
	made.Add("plugins", func(ctx context.Context) error {
		s.Hooks.StopContainer(ctx, c)
		s.Hooks.RemoveContainer(ctx, c)
		return nil
	})
	if err := s.Hooks.CreateContainer(ctx, p, c, ociSpec); err != nil {
		return fmt.Errorf("create container %s: %w", c.ID, err)
	}
	return nil
}

// blank is a container that nothing exists of yet.
func (s *Service) blank(p *pod.Pod, cfg *runtimeapi.ContainerConfig, img image.Image) (*Container, error) {
	text, err := proto.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("encode container's configuration: %w", err)
	}
	logPath, err := logPath(p.Config.GetLogDirectory(), cfg.GetLogPath())
	if err != nil {
		return nil, err
	}
	signal, err := stopSignal(cfg.GetStopSignal(), img.Config.Config.StopSignal)
	if err != nil {
		return nil, err
	}
	record := &recordv1.Container{
		Config: text, PodId: p.ID, ImageId: img.ID, ImageRef: imageRef(img), CreatedAt: timestamppb.Now(),
		LogPath: logPath, StopSignal: signal,
	}
	c := newContainer(ident.New(), record, cfg)
	s.settle(c, p)
	// The record keeps it: later starts need not ask the image.
	if binary := c.Handler.PlatformRuntimePaths[img.Config.OS+"/"+img.Config.Architecture]; binary != "" {
		c.Handler.Options.BinaryName = binary
	}
	return c, nil
}

// settle fills in what a container has from its pod.
func (s *Service) settle(c *Container, p *pod.Pod) {
	c.Handler = p.Handler
	if c.snapshotter == "" {
		c.snapshotter = p.Handler.Snapshotter
	}
	if c.snapshotter == "" {
		c.snapshotter = s.Snapshotter
	}
	c.snapshotLabels = p.SnapshotLabels()
	m := p.Config.GetMetadata()
	c.Streams = &streamerv1.Container{
		Id: c.ID, PodId: p.ID, Name: c.Config.GetMetadata().GetName(),
		PodNamespace: m.GetNamespace(), PodName: m.GetName(), PodUid: m.GetUid(),
		StreamEndpoint: p.StreamEndpoint(),
	}
}

// logPath joins the pod's directory and the container's path below it.
func logPath(dir, path string) (string, error) {
	if dir == "" || path == "" {
		return "", nil
	}
	if !filepath.IsAbs(dir) {
		return "", fmt.Errorf("sandbox_config.log_directory %.200q is not absolute: %w", dir, errdefs.ErrInvalidArgument)
	}
	if !filepath.IsLocal(path) {
		return "", fmt.Errorf("config.log_path %.200q leads out of the pod's log directory: %w", path, errdefs.ErrInvalidArgument)
	}
	return filepath.Join(dir, path), nil
}

// imageRef is what the CRI status calls the image: a digest, else the id.
func imageRef(img image.Image) string {
	if len(img.Digests) > 0 {
		return img.Digests[0]
	}
	return img.ID
}

// podLabel has the pod's id in records of containers.
const podLabel = "io.trivet.pod"

// labels make the record findable with containerd's own tools.
func (c *Container) labels() map[string]string {
	return map[string]string{
		"io.trivet.kind":               "container",
		podLabel:                       c.PodID,
		"io.kubernetes.container.name": clip(c.Streams.GetName()),
		"io.kubernetes.pod.name":       clip(c.Streams.GetPodName()),
		"io.kubernetes.pod.namespace":  clip(c.Streams.GetPodNamespace()),
		"io.kubernetes.pod.uid":        clip(c.Streams.GetPodUid()),
	}
}

// clip keeps a label below containerd's limit of 4096 bytes with its key.
func clip(value string) string {
	const limit = 4000
	if len(value) > limit {
		return value[:limit]
	}
	return value
}

// add makes the container visible.
func (s *Service) add(c *Container) {
	s.mu.Lock()
	s.byKey[c.key] = c.ID
	s.mu.Unlock()
	s.containers.Put(c.ID, c)
}
