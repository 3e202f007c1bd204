package podcheckpoint

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/internal/undo"
	"github.com/trivet-cri/trivet/runtime/checkpoint"
	"github.com/trivet-cri/trivet/runtime/operation"
	"github.com/trivet-cri/trivet/runtime/pod"
)

// undoLimit bounds what a failed restore undoes.
const undoLimit = time.Minute

// result is what a restore has made, and of which request.
type result struct {
	request  *runtimeapi.RestorePodRequest
	response *runtimeapi.RestorePodResponse
}

// Restore runs a pod and creates its containers from a checkpoint; their
// start continues it. It is idempotent by the pod's metadata as RunPodSandbox
// is: a retry joins the restore under way, or gets what it has led to. Errors:
// InvalidArgument with field and value, NotFound (checkpoint or image),
// AlreadyExists, NotImplemented (it names what is missing), those of
// RunPodSandbox and CreateContainer.
func (s *Service) Restore(ctx context.Context, r *runtimeapi.RestorePodRequest) (*runtimeapi.RestorePodResponse, error) {
	if err := checkOptions(r.GetOptions()); err != nil {
		return nil, err
	}
	m := r.GetConfig().GetMetadata()
	if m == nil {
		return nil, fmt.Errorf("config.metadata is empty: %w", errdefs.ErrInvalidArgument)
	}
	dir := r.GetCheckpointPath()
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir {
		return nil, fmt.Errorf("checkpoint_path %.200q is not an absolute path: %w", dir, errdefs.ErrInvalidArgument)
	}
	key := fmt.Sprintf("%s/%s/%s/%d", m.GetNamespace(), m.GetName(), m.GetUid(), m.GetAttempt())
	done, err := operation.Do(ctx, s.operations, key, "restore pod "+key, s.Limit, func(ctx context.Context) (result, error) {
		response, err := s.restore(ctx, r)
		return result{r, response}, err
	})
	if err != nil {
		return nil, err
	}
	// The restore that was joined may have been asked for otherwise.
	if !proto.Equal(done.request, r) {
		return nil, fmt.Errorf("pod %s is being restored otherwise: %w", key, errdefs.ErrAlreadyExists)
	}
	return done.response, nil
}

func (s *Service) restore(ctx context.Context, r *runtimeapi.RestorePodRequest) (_ *runtimeapi.RestorePodResponse, err error) {
	operation.Stage(ctx, "checkpoint")
	described, err := checkpoint.ReadPod(r.GetCheckpointPath())
	if err != nil {
		return nil, err
	}
	if err := match(described, r.GetContainerConfigs()); err != nil {
		return nil, err
	}
	var made undo.Stack
	defer func() {
		if undone := made.Run(ctx, undoLimit); undone != nil {
			s.Log.WarnContext(ctx, "the failed restore of a pod was not undone whole", telemetry.PodName, r.GetConfig().GetMetadata().GetName(), "error", undone)
		}
	}()
	operation.Stage(ctx, "pod")
	before := s.Pods.All()
	p, err := s.Pods.Run(ctx, r.GetConfig(), r.GetRuntimeHandler())
	if err != nil {
		return nil, err
	}
	m := p.Config.GetMetadata()
	telemetry.Pod(ctx, p.ID, m.GetNamespace(), m.GetName(), m.GetUid())
	// One that was there is of an earlier call, which has succeeded.
	if before[p.ID] == nil {
		made.Add("pod", func(ctx context.Context) error {
			return s.Pods.Remove(ctx, p, s.stopping(p.ID), s.removing(p.ID))
		})
	}
	response := &runtimeapi.RestorePodResponse{PodSandboxId: p.ID}
	for _, cfg := range r.GetContainerConfigs() {
		one, err := s.create(ctx, p, cfg, described, r.GetCheckpointPath(), &made)
		if err != nil {
			return nil, err
		}
		response.RestoredContainers = append(response.RestoredContainers, one)
	}
	made.Release()
	s.Log.InfoContext(ctx, "pod is restored", telemetry.PodID, p.ID, telemetry.PodNamespace, m.GetNamespace(), telemetry.PodName, m.GetName(),
		telemetry.PodUID, m.GetUid(), "containers", len(response.RestoredContainers), "checkpoint", r.GetCheckpointPath())
	return response, nil
}

// create makes one container; made gets what undoes it.
func (s *Service) create(ctx context.Context, p *pod.Pod, cfg *runtimeapi.ContainerConfig, described *checkpoint.Pod, dir string, made *undo.Stack) (*runtimeapi.RestoredContainer, error) {
	name := cfg.GetMetadata().GetName()
	operation.Stage(ctx, "container "+name)
	before := s.Containers.All()
	c, err := s.Containers.CreateFrom(ctx, p, cfg, filepath.Join(dir, described.Containers[name]))
	if err != nil {
		return nil, fmt.Errorf("restore container %q: %w", name, err)
	}
	if before[c.ID] == nil {
		made.Add("container "+name, func(ctx context.Context) error { return s.Containers.Remove(ctx, c) })
	}
	return &runtimeapi.RestoredContainer{Name: name, ContainerId: c.ID}, nil
}

// match checks that the configurations are those of the checkpoint's
// containers, by name.
func match(described *checkpoint.Pod, configs []*runtimeapi.ContainerConfig) error {
	if len(configs) == 0 {
		return fmt.Errorf("container_configs is empty: %w", errdefs.ErrInvalidArgument)
	}
	seen := make(map[string]bool)
	for i, cfg := range configs {
		name := cfg.GetMetadata().GetName()
		switch {
		case name == "":
			return fmt.Errorf("container_configs[%d].metadata.name is empty: %w", i, errdefs.ErrInvalidArgument)
		case seen[name]:
			return fmt.Errorf("container_configs[%d].metadata.name %.80q is there twice: %w", i, name, errdefs.ErrInvalidArgument)
		case described.Containers[name] == "":
			return fmt.Errorf("container_configs[%d].metadata.name %.80q is not in the checkpoint: %w", i, name, errdefs.ErrInvalidArgument)
		}
		seen[name] = true
	}
	var missing []string
	for name := range described.Containers {
		if !seen[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("container_configs lacks %.200q of the checkpoint: %w", strings.Join(missing, ", "), errdefs.ErrInvalidArgument)
	}
	return nil
}
