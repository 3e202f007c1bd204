package podcheckpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/runtime/checkpoint"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/operation"
	"github.com/trivet-cri/trivet/runtime/pod"
)

// Checkpoint writes a checkpoint of a pod's containers into an empty
// directory of the caller's. It ends with ctx. Errors: InvalidArgument with
// field and value, NotFound (the pod or a container), FailedPrecondition (one
// does not run), NotImplemented (it names what is missing).
func (s *Service) Checkpoint(ctx context.Context, r *runtimeapi.CheckpointPodRequest) error {
	if err := checkOptions(r.GetOptions()); err != nil {
		return err
	}
	p, err := s.Pods.Get(r.GetPodSandboxId())
	if err != nil {
		return err
	}
	m := p.Config.GetMetadata()
	telemetry.Pod(ctx, p.ID, m.GetNamespace(), m.GetName(), m.GetUid())
	if !p.State().Ready {
		return fmt.Errorf("pod %s is not ready: %w", p.ID, errdefs.ErrFailedPrecondition)
	}
	containers, err := s.chosen(p, r.GetContainerIds())
	if err != nil {
		return err
	}
	dir := r.GetOutputPath()
	if err := checkOutput(dir); err != nil {
		return err
	}
	return operation.Attended(ctx, s.operations, "checkpoint pod "+p.ID, s.Limit, func(ctx context.Context) error {
		return s.write(ctx, p, containers, dir)
	})
}

// checkOptions: there are none that this runtime knows.
func checkOptions(options map[string]string) error {
	for key := range options {
		return fmt.Errorf("options: %.80q is not known: %w", key, errdefs.ErrInvalidArgument)
	}
	return nil
}

// chosen are the containers of a request, all of the pod and running.
func (s *Service) chosen(p *pod.Pod, ids []string) ([]*container.Container, error) {
	if len(ids) == 0 {
		return nil, fmt.Errorf("container_ids is empty: %w", errdefs.ErrInvalidArgument)
	}
	var all []*container.Container
	names := make(map[string]bool)
	for i, id := range ids {
		c, err := s.Containers.Get(id)
		if err != nil {
			return nil, fmt.Errorf("container_ids[%d]: %w", i, err)
		}
		name := c.Config.GetMetadata().GetName()
		switch {
		case slices.Contains(all, c):
			return nil, fmt.Errorf("container_ids[%d] %q is there twice: %w", i, id, errdefs.ErrInvalidArgument)
		case c.PodID != p.ID:
			return nil, fmt.Errorf("container_ids[%d] %q is of another pod: %w", i, id, errdefs.ErrInvalidArgument)
		case names[name]:
			return nil, fmt.Errorf("container_ids[%d] %q: two containers are called %q: %w", i, id, name, errdefs.ErrInvalidArgument)
		case !c.Running():
			return nil, fmt.Errorf("container_ids[%d] %q does not run: %w", i, id, errdefs.ErrFailedPrecondition)
		}
		names[name] = true
		all = append(all, c)
	}
	return all, nil
}

// checkOutput refuses all but an empty directory.
func checkOutput(dir string) error {
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir {
		return fmt.Errorf("output_path %.200q is not an absolute path: %w", dir, errdefs.ErrInvalidArgument)
	}
	file, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("output_path %.200q: %w: %w", dir, err, errdefs.ErrInvalidArgument)
	}
	defer func() { _ = file.Close() }() // only read from
	switch _, err := file.Readdirnames(1); {
	case err == nil:
		return fmt.Errorf("output_path %.200q is not empty: %w", dir, errdefs.ErrInvalidArgument)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("output_path %.200q: %w: %w", dir, err, errdefs.ErrInvalidArgument)
	}
	return nil
}

// write fills dir, or leaves it empty.
func (s *Service) write(ctx context.Context, p *pod.Pod, containers []*container.Container, dir string) (err error) {
	described := checkpoint.PodOf(p.ID, p.Config, p.HandlerName)
	remove := []string{filepath.Join(dir, checkpoint.PodFile), filepath.Join(dir, checkpoint.PodOptionsFile)}
	captures := make([]container.Capture, 0, len(containers))
	for _, c := range containers {
		described.Containers[c.Config.GetMetadata().GetName()] = c.ID
		own := filepath.Join(dir, c.ID)
		captures = append(captures, container.Capture{Container: c, Status: s.Status(c), Dir: own})
		remove = append(remove, own)
	}
	entry, err := s.Journal.Begin(checkpoint.Entry{Remove: remove})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, entry.Clear())
		}
		err = errors.Join(err, s.Journal.End(entry))
	}()
	if err := s.Containers.Capture(ctx, captures); err != nil {
		return err
	}
	operation.Stage(ctx, "pod")
	if err := described.Write(dir); err != nil {
		return err
	}
	m := p.Config.GetMetadata()
	s.Log.InfoContext(ctx, "checkpoint of a pod is written", telemetry.PodID, p.ID, telemetry.PodNamespace, m.GetNamespace(), telemetry.PodName, m.GetName(),
		telemetry.PodUID, m.GetUid(), "containers", len(containers), "path", dir)
	return nil
}
