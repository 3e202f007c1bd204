// Package sandbox has the shims of runtime handlers make pods' sandboxes, as
// those of virtual machines do (sandboxer = "shim").
//
//	Start:   namespaces, network ─▶ shim ─▶ CreateSandbox ─▶ StartSandbox
//	Remove:  StopSandbox ─▶ ShutdownSandbox ─▶ (SIGKILL to the shim)
//
// A sandbox has its pod's id and so has its shim, which runs all of the pod's
// containers. It gets the pod's CRI configuration, the path of its network
// namespace, and an OCI spec for its own process. Nothing is kept here: the
// pod's record says that there is a sandbox, and containerd knows the rest.
//
// Remove always comes to an end: a shim that does not answer is killed.
package sandbox

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/spec"
	"github.com/trivet-cri/trivet/runtime/users"
)

// Containerd is what sandboxes need of it; *engine.Engine has it.
type Containerd interface {
	CreateSandbox(ctx context.Context, s engine.NewSandbox, handler config.Handler) error
	StartSandbox(ctx context.Context, id string) (pid int, err error)
	SandboxAddress(id string) (string, error)
	GetSandbox(ctx context.Context, id string) (engine.Sandbox, error)
	WaitSandbox(ctx context.Context, id string) error
	StopSandbox(ctx context.Context, id string, grace time.Duration) error
	ShutdownSandbox(ctx context.Context, id string) error
}

// Deps are what a service is made of.
type Deps struct {
	Config     config.Runtime
	PauseImage string // for annotations
	Systemd    bool
	Host       spec.Host
	Containerd Containerd
	// KillShim ends the shims of a sandbox, and tells how many there were.
	KillShim func(id string) (int, error)
	// HostPID tells whether a process is in this process's PID namespace.
	HostPID func(pid int) (bool, error)
}

// Service makes sandboxes. All methods may be called concurrently.
type Service struct{ Deps }

// New returns a service.
func New(deps Deps) *Service { return &Service{deps} }

// lookLimit bounds the look at a shim, which may hang.
const lookLimit = 10 * time.Second

// Start has the handler's shim make the pod's sandbox. A shim that cannot is errdefs.ErrFailedPrecondition.
// What a failed start has made is for Remove.
func (s *Service) Start(ctx context.Context, p *pod.Pod) (held pod.Held, err error) {
	err = telemetry.Span(ctx, "sandbox.start", func(ctx context.Context) error {
		held, err = s.start(ctx, p)
		return err
	})
	if err != nil {
		return pod.Held{}, fmt.Errorf("make the pod's sandbox by shim %s: %w", p.Handler.Type, err)
	}
	return held, nil
}

func (s *Service) start(ctx context.Context, p *pod.Pod) (held pod.Held, err error) {
	// Root, by number: there is no image to look for accounts in.
	user, err := users.Resolve(users.Parse("", ""), nil, "")
	if err != nil {
		return held, err
	}
	ociSpec, err := spec.BuildPause(spec.PauseInput{
		ID: p.ID, Pod: p.Config, Image: ocispec.ImageConfig{Entrypoint: []string{"/pause"}}, ImageName: s.PauseImage,
		Handler: p.Handler, Runtime: s.Config, Systemd: s.Systemd,
		Namespaces: p.Namespaces, Files: p.Files, User: user, SELinux: p.SELinux, Host: s.Host,
		Sysctls: pod.Sysctls(p.Config, &s.Config),
	})
	if err != nil {
		return held, err
	}
	err = s.Containerd.CreateSandbox(ctx, engine.NewSandbox{
		ID: p.ID, Config: p.Config, Spec: ociSpec, Netns: p.Namespaces.Network,
	}, p.Handler)
	if errdefs.IsNotImplemented(err) {
		return held, fmt.Errorf("it has no sandbox service, as sandboxer = %q needs it: %w: %w", pod.SandboxerShim, err, errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		return held, err
	}
	held.PID, err = s.Containerd.StartSandbox(ctx, p.ID)
	if err != nil {
		return held, err
	}
	if p.Handler.IOType == pod.IOTypeStreaming {
		if held.Endpoint, err = s.Containerd.SandboxAddress(p.ID); err != nil {
			return held, fmt.Errorf("io_type = %q: %w", pod.IOTypeStreaming, err)
		}
	}
	return held, s.checkShared(p, held.PID)
}

// checkShared refuses a pod that would share the host's PID namespace instead
// of its own. Guests of virtual machines never join it: there, the process is
// the machine's.
func (s *Service) checkShared(p *pod.Pod, pid int) error {
	if !p.SharesPID() || !spec.IsRunc(p.Handler) {
		return nil
	}
	const field = "linux.security_context.namespace_options.pid"
	if pid == 0 {
		return fmt.Errorf("%s POD cannot be had: the sandbox tells no process: %w", field, errdefs.ErrFailedPrecondition)
	}
	host, err := s.HostPID(pid)
	if err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	if host {
		return fmt.Errorf("%s POD cannot be had: the sandbox's process is in the host's PID namespace: %w", field, errdefs.ErrFailedPrecondition)
	}
	return nil
}

// Look tells whether a pod's sandbox lives, and its process.
func (s *Service) Look(ctx context.Context, podID string) (pid int, alive bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	found, err := s.Containerd.GetSandbox(ctx, podID)
	return found.PID, found.Ready, err
}

// Wait returns nil when a pod's sandbox has ended or is not there.
func (s *Service) Wait(ctx context.Context, podID string) error {
	return s.Containerd.WaitSandbox(ctx, podID)
}
