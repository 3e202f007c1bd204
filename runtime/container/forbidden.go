package container

import (
	"context"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/trivet-cri/trivet/internal/undo"
	"github.com/trivet-cri/trivet/runtime/annotation"
	"github.com/trivet-cri/trivet/runtime/notifier"
	"github.com/trivet-cri/trivet/runtime/pod"
)

const (
	// forbiddenGrace is how long a container may go on after a forbidden system
	// call that it had not used before, so that one run shows more than the first.
	forbiddenGrace = 5 * time.Second
	// forbiddenStop is the value by which a pod's containers are killed for it;
	// with any other it is only reported.
	forbiddenStop = "stop"
	// forbiddenReason is why such a container has exited, as CRI-O says it.
	forbiddenReason = "seccomp killed"
)

// forbiddenAction is what a pod wants to happen when its containers use system
// calls that their seccomp profiles forbid; false if it does not ask.
func forbiddenAction(p *pod.Pod) (string, bool) {
	_, action, ok := annotation.Allowed(p.Handler.AllowedAnnotations).Find(p.Config.GetAnnotations(), annotation.SeccompNotifierAction)
	return action, ok
}

// seccompSocket is where the container's filter is to tell of forbidden system
// calls; empty for nowhere.
func (s *Service) seccompSocket(p *pod.Pod, id string) string {
	if _, ok := forbiddenAction(p); !ok {
		return ""
	}
	return s.notifiers.Path(id)
}

// hear listens for the forbidden system calls of a new container whose spec has
// a filter that tells of them.
func (s *Service) hear(made *undo.Stack, p *pod.Pod, c *Container, ociSpec *specs.Spec) error {
	action, _ := forbiddenAction(p)
	if profile := ociSpec.Linux.Seccomp; profile == nil || profile.ListenerPath != s.notifiers.Path(c.ID) {
		return nil
	}
	made.Add("seccomp notifier", func(context.Context) error { return s.notifiers.Close(c.ID) })
	return s.notifiers.Open(c.ID, action == forbiddenStop)
}

// hearAgain goes on where an earlier process has ended.
func (s *Service) hearAgain(ctx context.Context, c *Container) {
	if c.record.Load().GetFinishedAt() != nil {
		s.hearNoMore(ctx, c)
		return
	}
	if err := s.notifiers.Resume(c.ID); err != nil {
		s.logger(c).WarnContext(ctx, "forbidden system calls of the container are not heard of, and no command can be run in it", "error", err)
	}
}

// hearNoMore is for a container that has ended.
func (s *Service) hearNoMore(ctx context.Context, c *Container) {
	if used := s.notifiers.Report(c.ID); len(used.Used) > 0 {
		s.logger(c).InfoContext(ctx, "container had used forbidden system calls", "syscalls", used.String())
	}
	if err := s.notifiers.Close(c.ID); err != nil {
		s.logger(c).WarnContext(ctx, "the removal of the container will try again", "error", err)
	}
}

// killForbidden kills a container for what it has used.
func (s *Service) killForbidden(id string) {
	c, ok := s.All()[id]
	if !ok {
		return
	}
	s.background(func() {
		if err := s.Stop(s.life, c, 0); err != nil && s.life.Err() == nil {
			s.logger(c).WarnContext(s.life, "container is not killed for its forbidden system calls", "error", err)
		}
	})
}

// explain is the word for an exit that Kubernetes' users know, and what there is
// to say about it.
func (s *Service) explain(c *Container, code int32) (reason, message string) {
	reason = s.reason(c, code)
	report := s.notifiers.Report(c.ID)
	if code == 0 || len(report.Used) == 0 {
		return reason, ""
	}
	if report.Killed && reason == "Error" {
		reason = forbiddenReason
	}
	return reason, "Used forbidden syscalls: " + report.String()
}

// Forbidden is what a container that runs has used of what its seccomp profile
// forbids; nothing unless its pod has asked for that.
func (s *Service) Forbidden(id string) notifier.Report { return s.notifiers.Report(id) }
