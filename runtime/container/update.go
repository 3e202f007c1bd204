package container

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/runtime/operation"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// updateLimit bounds an update; a shim that does not answer holds up the
// updates of its container for no longer.
const updateLimit = time.Minute

// Specs keeps the OCI specs of containers; *engine.Engine does.
type Specs interface {
	ContainerSpec(ctx context.Context, id string) (*specs.Spec, error)
	UpdateContainerSpec(ctx context.Context, id string, s *specs.Spec) error
}

// Resources are the limits in force, as its OCI spec has them. They must not
// be changed.
func (c *Container) Resources() *runtimeapi.LinuxContainerResources { return c.limits.Load() }

// Update changes the limits of a container in place: of a created one in its
// OCI spec, from which it will start, of a running one in its cgroup and then
// in the spec. What the request leaves open stays. When ctx ends first, the
// update goes on, and a retry joins it. Errors: InvalidArgument with field and
// value, FailedPrecondition (it has ended or is being removed, or this machine
// cannot), those of the OCI runtime, DeadlineExceeded. After an error the spec
// is as it was.
func (s *Service) Update(ctx context.Context, c *Container, resources *runtimeapi.LinuxContainerResources, annotations map[string]string) error {
	s.describe(ctx, c)
	// Before plugins are asked about it.
	for _, err := range []error{
		spec.CheckResources("linux.resources", resources), spec.CheckMinMemory("linux.resources", resources, c.Handler),
	} {
		if err != nil {
			return fmt.Errorf("update container %s: %w", c.ID, err)
		}
	}
	request := &runtimeapi.UpdateContainerResourcesRequest{ContainerId: c.ID, Linux: resources, Annotations: annotations}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode update of container %s: %w", c.ID, err)
	}
	_, err = operation.Do(ctx, s.operations, "update/"+string(text), "update container "+c.ID, updateLimit, func(ctx context.Context) (struct{}, error) {
		operation.Stage(ctx, "plugins")
		wanted := resources
		if c.State().Phase != runtimeapi.ContainerState_CONTAINER_EXITED { // else it is refused anyway
			var err error // of this goroutine's own: the caller may be gone
			if wanted, err = s.Hooks.UpdateContainer(ctx, c, resources); err != nil {
				return struct{}{}, fmt.Errorf("update container %s: %w", c.ID, err)
			}
		}
		if err := s.update(ctx, c, s.change(c, wanted, annotations)); err != nil {
			return struct{}{}, err
		}
		s.Hooks.ContainerUpdated(ctx, c)
		return struct{}{}, nil
	})
	return err
}

// Adjust is Update without asking plugins: it is they who want it. It ends
// with ctx. Errors are as of Update.
func (s *Service) Adjust(ctx context.Context, c *Container, resources *runtimeapi.LinuxContainerResources) error {
	ctx, cancel := context.WithTimeout(ctx, updateLimit)
	defer cancel()
	return s.update(ctx, c, s.change(c, resources, nil))
}

func (s *Service) change(c *Container, resources *runtimeapi.LinuxContainerResources, annotations map[string]string) *spec.Change {
	return &spec.Change{Resources: resources, Annotations: annotations, Handler: c.Handler, Runtime: s.Config, Host: s.Host}
}

// update is alone with the limits of c, but not with c: a shim that hangs in
// it holds up neither the container's stop nor its end.
func (s *Service) update(ctx context.Context, c *Container, change *spec.Change) error {
	operation.Stage(ctx, "wait for earlier update")
	select {
	case c.updating <- struct{}{}:
		defer func() { <-c.updating }()
	case <-ctx.Done():
		return fmt.Errorf("container %s: an earlier update of it has not ended: %w", c.ID, context.Cause(ctx))
	}
	if done, err := s.updateCreated(ctx, c, change); done || err != nil {
		return err
	}
	return s.updateRunning(ctx, c, change)
}

// updateCreated changes the spec of a container that was not started, which
// keeps its turn so that it is not started meanwhile. done is false if it runs.
func (s *Service) updateCreated(ctx context.Context, c *Container, change *spec.Change) (done bool, err error) {
	operation.Stage(ctx, "wait for turn")
	if err := c.take(ctx); err != nil {
		return false, err
	}
	defer c.give()
	state := c.State()
	switch {
	case state.Removing:
		return false, fmt.Errorf("update container %s: it is being removed: %w", c.ID, errdefs.ErrFailedPrecondition)
	case state.Phase == runtimeapi.ContainerState_CONTAINER_RUNNING:
		return false, nil
	case state.Phase != runtimeapi.ContainerState_CONTAINER_CREATED:
		return false, fmt.Errorf("update container %s: it is neither created nor running but %s: %w", c.ID, state.Phase, errdefs.ErrFailedPrecondition)
	}
	operation.Stage(ctx, "record")
	old, next, err := s.changed(ctx, c, change)
	if err != nil {
		return false, err
	}
	if err := s.record(ctx, c, old, next); err != nil {
		return false, err
	}
	s.settled(ctx, c, next)
	return true, nil
}

// updateRunning changes the cgroup and then the spec, which so tells only of
// limits that are in force. Whoever is killed in between has not answered yet:
// the client asks again.
func (s *Service) updateRunning(ctx context.Context, c *Container, change *spec.Change) error {
	change.Started = true
	old, next, err := s.changed(ctx, c, change)
	if err != nil {
		return err
	}
	operation.Stage(ctx, "update task")
	err = telemetry.Span(ctx, "task.update", func(ctx context.Context) error {
		return s.Tasks.UpdateTask(ctx, c.ID, limitsOf(next), change.PassedOn())
	})
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("update container %s: it has ended: %w: %w", c.ID, err, errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		return err
	}
	operation.Stage(ctx, "processors")
	err = s.retune(ctx, c, next)
	if err == nil {
		operation.Stage(ctx, "record")
		err = s.record(ctx, c, old, next)
	}
	if err != nil {
		s.revert(ctx, c, old, next)
		return err
	}
	s.settled(ctx, c, next)
	return nil
}

// changed is the spec in the record, and what it becomes.
func (s *Service) changed(ctx context.Context, c *Container, change *spec.Change) (old, next *specs.Spec, err error) {
	if old, err = s.Specs.ContainerSpec(ctx, c.ID); err != nil {
		return nil, nil, err
	}
	if next, err = change.Apply(old); err != nil {
		return nil, nil, fmt.Errorf("update container %s: %w", c.ID, err)
	}
	subject, err := s.subject(c, nil)
	if err != nil {
		return nil, nil, err
	}
	if err := s.Tuning.Limit(subject, next.Linux.Resources); err != nil {
		return nil, nil, fmt.Errorf("update container %s: %w", c.ID, err)
	}
	return old, next, nil
}

// record replaces the spec in the record. After an error it is the old one:
// the new one may have come through all the same.
func (s *Service) record(ctx context.Context, c *Container, old, next *specs.Spec) error {
	err := s.Specs.UpdateContainerSpec(ctx, c.ID, next)
	if err == nil || errdefs.IsNotFound(err) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	if undone := s.Specs.UpdateContainerSpec(ctx, c.ID, old); undone != nil && !errdefs.IsNotFound(undone) {
		s.logger(c).WarnContext(ctx, "record of limits that were not set may tell of them", "error", undone)
	}
	return err
}

// settled publishes the limits that s tells.
func (s *Service) settled(ctx context.Context, c *Container, next *specs.Spec) {
	c.setLimits(next)
	s.logger(c).InfoContext(ctx, "limits of a container are updated", "limits", c.Resources())
}

func (c *Container) setLimits(s *specs.Spec) {
	c.limits.Store(spec.Limits(s.Linux.Resources, s.Process.OOMScoreAdj))
}

// revert takes limits back that could not be recorded.
func (s *Service) revert(ctx context.Context, c *Container, old, next *specs.Spec) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	back := spec.Revert(limitsOf(old), limitsOf(next))
	if err := s.Tasks.UpdateTask(ctx, c.ID, back, nil); err != nil && !errdefs.IsNotFound(err) {
		s.logger(c).WarnContext(ctx, "limits that could not be recorded are still in force", "error", err)
	}
	if err := s.retune(ctx, c, old); err != nil {
		s.logger(c).WarnContext(ctx, "processors are tuned for limits that could not be recorded", "error", err)
	}
}

// limitsOf are the limits of s for an update of its task. Access to devices is
// no part of it: some OCI runtimes would take it away for a moment.
func limitsOf(s *specs.Spec) *specs.LinuxResources {
	if s.Linux == nil || s.Linux.Resources == nil {
		return &specs.LinuxResources{}
	}
	limits := *s.Linux.Resources
	limits.Devices = nil
	return &limits
}
