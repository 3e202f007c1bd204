package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/sandbox"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/bootstrap"
	"github.com/trivet-cri/trivet/internal/config"
)

// shimController is containerd's controller that passes everything on to the
// sandbox service of a shim. The shim has the sandbox's id as its own.
const shimController = "shim"

// NewSandbox is what a shim makes a sandbox of.
type NewSandbox struct {
	ID     string
	Config *runtimeapi.PodSandboxConfig
	// Spec is of the sandbox's own process, for shims that want one.
	Spec *specs.Spec
	// Netns is the path of the pod's network namespace, empty for the host's.
	Netns string
}

// Sandbox is a sandbox as its shim sees it.
type Sandbox struct {
	PID   int // of its process on the host, 0 if it tells none
	Ready bool
}

// CreateSandbox starts a shim and has it prepare a sandbox. A shim that has no
// sandbox service is errdefs.ErrNotImplemented. What a failed call has started
// is ended by containerd, unless the connection broke.
func (e *Engine) CreateSandbox(ctx context.Context, s NewSandbox, handler config.Handler) error {
	runtime, err := runtimeOf(handler)
	if err != nil {
		return err
	}
	text, err := json.Marshal(s.Spec)
	if err != nil {
		return fmt.Errorf("encode spec of sandbox %s: %w", s.ID, err)
	}
	// containerd takes a path in the place of a name.
	if handler.Path != "" {
		runtime.Name = handler.Path
	}
	err = e.client.SandboxController(shimController).Create(ctx, sandbox.Sandbox{
		ID: s.ID, Sandboxer: shimController,
		Runtime: sandbox.RuntimeOpts{Name: runtime.Name, Options: runtime.Options},
		Spec:    &anypb.Any{TypeUrl: specURL, Value: text},
	}, sandbox.WithOptions(s.Config), sandbox.WithNetNSPath(s.Netns), sandbox.WithAnnotations(s.Config.GetAnnotations()))
	if err != nil {
		return fmt.Errorf("create sandbox %s: %w", s.ID, err)
	}
	return nil
}

// StartSandbox starts a created sandbox and returns its process, 0 if the shim
// tells none. containerd ends the shim if that fails.
func (e *Engine) StartSandbox(ctx context.Context, id string) (pid int, err error) {
	instance, err := e.client.SandboxController(shimController).Start(ctx, id)
	if err != nil {
		return 0, fmt.Errorf("start sandbox %s: %w", id, err)
	}
	return int(instance.Pid), nil
}

// SandboxAddress is where the shim of a sandbox serves its APIs, as
// <ttrpc|grpc>+ADDRESS. containerd's API has a field for it and leaves it empty, at
// least up to version 2.4, so it is read where containerd itself keeps it.
func (e *Engine) SandboxAddress(id string) (string, error) {
	shim, err := bootstrap.Read(e.state, bootstrap.Sandboxes, e.namespace, id)
	if err != nil {
		return "", fmt.Errorf("address of sandbox %s: %w", id, err)
	}
	return shim.Protocol + "+" + shim.Address, nil
}

// GetSandbox asks the shim. No shim is a sandbox that is not ready.
func (e *Engine) GetSandbox(ctx context.Context, id string) (Sandbox, error) {
	status, err := e.client.SandboxController(shimController).Status(ctx, id, false)
	if err != nil {
		if errdefs.IsNotFound(err) {
			return Sandbox{}, nil
		}
		return Sandbox{}, fmt.Errorf("look at sandbox %s: %w", id, err)
	}
	return Sandbox{PID: int(status.Pid), Ready: status.State == runtimeapi.PodSandboxState_SANDBOX_READY.String()}, nil
}

// WaitSandbox returns nil when a sandbox has ended, as also one has that there
// is no shim of.
func (e *Engine) WaitSandbox(ctx context.Context, id string) error {
	_, err := e.client.SandboxController(shimController).Wait(ctx, id)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("wait for sandbox %s: %w", id, err)
	}
	return nil
}

// StopSandbox ends a sandbox within grace; its shim stays. One that is not
// there is no error.
func (e *Engine) StopSandbox(ctx context.Context, id string, grace time.Duration) error {
	err := e.client.SandboxController(shimController).Stop(ctx, id, sandbox.WithTimeout(grace))
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("stop sandbox %s: %w", id, err)
	}
	return nil
}

// ShutdownSandbox ends a sandbox's shim. One that containerd does not know is
// errdefs.ErrNotFound.
func (e *Engine) ShutdownSandbox(ctx context.Context, id string) error {
	if err := e.client.SandboxController(shimController).Shutdown(ctx, id); err != nil {
		return fmt.Errorf("shut down sandbox %s: %w", id, err)
	}
	return nil
}
