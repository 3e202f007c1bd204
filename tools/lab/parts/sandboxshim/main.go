// Sandboxshim is runc's shim with a sandbox service, for tests of runtime
// handlers whose shim makes the pod's sandbox. Shims of virtual machines have
// one; containerd's own shim for runc has none any more. Its "machine" is a
// process that sleeps in a PID namespace of its own: killing it plays the
// machine's death. It also serves streams of processes, as io_type = "streaming" needs it.
package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	api "github.com/containerd/containerd/api/runtime/sandbox/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/manager"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/task"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/pkg/sys/reaper"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func main() {
	registry.Register(&plugin.Registration{
		Type: plugins.TTRPCPlugin, ID: "sandbox", Requires: []plugin.Type{plugins.InternalPlugin},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			end, err := ic.GetByID(plugins.InternalPlugin, "shutdown")
			if err != nil {
				return nil, err
			}
			return &service{shutdown: end.(shutdown.Service), ended: make(chan struct{})}, nil
		},
	})
	registry.Register(&plugin.Registration{
		Type: plugins.TTRPCPlugin, ID: "task", Requires: []plugin.Type{plugins.EventPlugin, plugins.InternalPlugin},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			publisher, err := ic.GetByID(plugins.EventPlugin, "publisher")
			if err != nil {
				return nil, err
			}
			end, err := ic.GetByID(plugins.InternalPlugin, "shutdown")
			if err != nil {
				return nil, err
			}
			return newService(ic.Context, publisher.(shim.Publisher), end.(shutdown.Service))
		},
	})
	shim.RunShim(context.Background(), manager.NewShimManager("io.containerd.runc.v2"))
}

// processes are the services about processes and their streams.
type processes struct {
	tasks
	*streams
}

func newService(ctx context.Context, publisher shim.Publisher, end shutdown.Service) (*processes, error) {
	runc, err := task.NewTaskService(ctx, publisher, end)
	if err != nil {
		return nil, err
	}
	streams, err := newStreams()
	if err != nil {
		return nil, err
	}
	end.RegisterCallback(func(context.Context) error { return os.RemoveAll(streams.dir) })
	return &processes{tasks{runc, streams}, streams}, nil
}

// RegisterTTRPC is part of shim.TTRPCService.
func (p *processes) RegisterTTRPC(server *ttrpc.Server) error {
	return errors.Join(p.tasks.RegisterTTRPC(server), p.streams.RegisterTTRPC(server))
}

// service is the sandbox of the one pod that the shim is of.
type service struct {
	shutdown shutdown.Service
	ended    chan struct{} // closed when the machine has

	mu        sync.Mutex
	created   bool
	machine   *exec.Cmd
	createdAt time.Time
	exitedAt  time.Time
}

// RegisterTTRPC is part of shim.TTRPCService.
func (s *service) RegisterTTRPC(server *ttrpc.Server) error {
	api.RegisterTTRPCSandboxService(server, s)
	return nil
}

func (s *service) CreateSandbox(_ context.Context, r *api.CreateSandboxRequest) (*api.CreateSandboxResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.GetNetnsPath() == "" && r.GetOptions() == nil {
		return nil, errgrpc.ToGRPC(errdefs.ErrInvalidArgument)
	}
	s.created = true
	return &api.CreateSandboxResponse{}, nil
}

func (s *service) StartSandbox(context.Context, *api.StartSandboxRequest) (*api.StartSandboxResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.created || s.machine != nil {
		return nil, errgrpc.ToGRPC(errdefs.ErrFailedPrecondition)
	}
	machine := exec.Command("sleep", "infinity")
	machine.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	exits, err := reaper.Default.Start(machine)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	s.machine, s.createdAt = machine, time.Now()
	go func() {
		_, _ = reaper.Default.Wait(machine, exits)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.exitedAt = time.Now()
		close(s.ended)
	}()
	return &api.StartSandboxResponse{Pid: uint32(machine.Process.Pid), CreatedAt: timestamppb.New(s.createdAt)}, nil
}

func (s *service) Platform(context.Context, *api.PlatformRequest) (*api.PlatformResponse, error) {
	return &api.PlatformResponse{Platform: &types.Platform{OS: "linux"}}, nil
}

func (s *service) StopSandbox(ctx context.Context, _ *api.StopSandboxRequest) (*api.StopSandboxResponse, error) {
	s.mu.Lock()
	machine := s.machine
	s.mu.Unlock()
	if machine == nil {
		return &api.StopSandboxResponse{}, nil
	}
	_ = machine.Process.Kill()
	select {
	case <-s.ended:
		return &api.StopSandboxResponse{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *service) WaitSandbox(ctx context.Context, _ *api.WaitSandboxRequest) (*api.WaitSandboxResponse, error) {
	select {
	case <-s.ended:
		s.mu.Lock()
		defer s.mu.Unlock()
		return &api.WaitSandboxResponse{ExitedAt: timestamppb.New(s.exitedAt)}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *service) SandboxStatus(_ context.Context, r *api.SandboxStatusRequest) (*api.SandboxStatusResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := &api.SandboxStatusResponse{SandboxID: r.GetSandboxID(), State: "SANDBOX_NOTREADY"}
	if s.machine != nil && s.exitedAt.IsZero() {
		status.State, status.Pid = "SANDBOX_READY", uint32(s.machine.Process.Pid)
		status.CreatedAt = timestamppb.New(s.createdAt)
	}
	return status, nil
}

func (s *service) PingSandbox(context.Context, *api.PingRequest) (*api.PingResponse, error) {
	return &api.PingResponse{}, nil
}

func (s *service) ShutdownSandbox(ctx context.Context, _ *api.ShutdownSandboxRequest) (*api.ShutdownSandboxResponse, error) {
	if _, err := s.StopSandbox(ctx, nil); err != nil {
		return nil, err
	}
	s.shutdown.Shutdown()
	return &api.ShutdownSandboxResponse{}, nil
}

func (s *service) SandboxMetrics(context.Context, *api.SandboxMetricsRequest) (*api.SandboxMetricsResponse, error) {
	return &api.SandboxMetricsResponse{}, nil
}

func (s *service) UpdateSandbox(context.Context, *api.UpdateSandboxRequest) (*api.UpdateSandboxResponse, error) {
	return nil, errgrpc.ToGRPC(errdefs.ErrNotImplemented)
}
