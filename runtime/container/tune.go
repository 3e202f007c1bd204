package container

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/internal/undo"
	"github.com/trivet-cri/trivet/runtime/operation"
	"github.com/trivet-cri/trivet/runtime/spec"
	"github.com/trivet-cri/trivet/runtime/tuning"
)

// subject is the container as who tunes its processors knows it.
func (s *Service) subject(c *Container, limits *runtimeapi.LinuxContainerResources) (tuning.Subject, error) {
	p, err := s.Pods.Get(c.PodID)
	if err != nil {
		return tuning.Subject{}, fmt.Errorf("find the container's pod: %w", err)
	}
	return tuning.Subject{
		ID: c.ID, Name: c.Config.GetMetadata().GetName(), Pod: p.Config, Handler: c.Handler,
		Cgroup: c.Cgroup(), CPU: tuning.CPUOf(limits),
	}, nil
}

// shape has a container's spec tell of tuned processors, after plugins have
// chosen them.
func (s *Service) shape(c *Container, ociSpec *specs.Spec) error {
	subject, err := s.subject(c, nil)
	if err != nil {
		return err
	}
	return s.Tuning.Shape(subject, ociSpec)
}

// tune tunes the processors of a container that is about to start. isolate is
// for when its cgroup is there.
func (s *Service) tune(ctx context.Context, made *undo.Stack, c *Container) (isolate func(context.Context) error, err error) {
	operation.Stage(ctx, "processors")
	subject, err := s.subject(c, c.Resources())
	if err != nil {
		return nil, err
	}
	made.Add("processors", func(ctx context.Context) error { return s.Tuning.End(ctx, c.ID) })
	isolate = func(ctx context.Context) error { return s.Tuning.Isolate(ctx, subject) }
	return isolate, s.Tuning.Begin(ctx, subject)
}

// retune tunes the processors that a running container has by now.
func (s *Service) retune(ctx context.Context, c *Container, now *specs.Spec) error {
	subject, err := s.subject(c, spec.Limits(limitsOf(now), nil))
	if err != nil {
		return err
	}
	return errors.Join(s.Tuning.Begin(ctx, subject), s.Tuning.Isolate(ctx, subject))
}

// untune restores the processors of a container that has ended. What fails,
// the sweep tries again.
func (s *Service) untune(ctx context.Context, id string) {
	if err := s.Tuning.End(ctx, id); err != nil {
		s.Log.WarnContext(ctx, "processors are not as before the container yet: it is tried again", telemetry.ContainerID, id, "error", err)
	}
}

// untuneEnded restores the processors of containers that neither run nor are
// about to. dead tells which ones these are.
func (s *Service) untuneEnded(ctx context.Context, dead func(id string) bool) {
	for _, id := range s.Tuning.Held() {
		if dead(id) {
			s.untune(ctx, id)
		}
	}
}
