package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	shimapi "github.com/containerd/containerd/api/runtime/task/v3"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/trivet-cri/trivet/internal/bootstrap"
)

const (
	// shimVersion is that of the task service that is spoken here.
	shimVersion = 3
	// dialLimit bounds connecting to a shim.
	dialLimit = time.Second
)

// errShimGone ends the calls to a shim that has died.
var errShimGone = fmt.Errorf("the container's shim has gone: %w", errdefs.ErrUnavailable)

// service are the calls about a process, as containerd's clients make them.
type service interface {
	Exec(context.Context, *tasksapi.ExecProcessRequest, ...grpc.CallOption) (*emptypb.Empty, error)
	Start(context.Context, *tasksapi.StartRequest, ...grpc.CallOption) (*tasksapi.StartResponse, error)
	Wait(context.Context, *tasksapi.WaitRequest, ...grpc.CallOption) (*tasksapi.WaitResponse, error)
	Kill(context.Context, *tasksapi.KillRequest, ...grpc.CallOption) (*emptypb.Empty, error)
	DeleteProcess(context.Context, *tasksapi.DeleteProcessRequest, ...grpc.CallOption) (*tasksapi.DeleteResponse, error)
	CloseIO(context.Context, *tasksapi.CloseIORequest, ...grpc.CallOption) (*emptypb.Empty, error)
	ResizePty(context.Context, *tasksapi.ResizePtyRequest, ...grpc.CallOption) (*emptypb.Empty, error)
}

// shim is a connection to the shim of a container. Of its exec'd processes
// containerd has nothing in its own memory: it asks the shim, several times
// for some of its calls, and the shim tells it by events. So who asks the shim
// changes nothing but the cost.
type shim struct {
	client *ttrpc.Client
	tasks  shimapi.TTRPCTaskService
	// The rest is of shims.
	users int       // processes
	idle  time.Time // since when there are none
}

// dialShim connects to a container's shim, if it is of the kind that is
// understood here and can be reached.
func (e *Engine) dialShim(container string) (*shim, error) {
	how, err := bootstrap.Read(e.state, bootstrap.Tasks, e.namespace, container)
	if err != nil {
		return nil, err
	}
	path, ok := strings.CutPrefix(how.Address, "unix://")
	if !ok || how.Version != shimVersion || how.Protocol != "ttrpc" {
		return nil, fmt.Errorf("shim speaks version %d over %s at %s: %w", how.Version, how.Protocol, how.Address, errdefs.ErrNotImplemented)
	}
	conn, err := net.DialTimeout("unix", path, dialLimit)
	if err != nil {
		return nil, fmt.Errorf("connect to shim: %w", err)
	}
	one := new(shim)
	one.client = ttrpc.NewClient(conn, ttrpc.WithUnaryClientInterceptor(e.shimCall),
		ttrpc.WithOnClose(func() { e.shims.lost(container, one) }))
	one.tasks = shimapi.NewTTRPCTaskClient(one.client)
	return one, nil
}

// close ends the connection, and waits for what works for it.
func (s *shim) close() {
	_ = s.client.Close()
	_ = s.client.UserOnCloseWait(context.Background()) // nothing of it blocks
}

// shimCall is to shims what call is to containerd.
func (e *Engine) shimCall(ctx context.Context, r *ttrpc.Request, reply *ttrpc.Response, info *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
	r.Metadata = append(r.Metadata, &ttrpc.KeyValue{Key: "containerd-namespace-ttrpc", Value: e.namespace})
	if _, ok := ctx.Deadline(); !ok && !strings.HasSuffix(info.FullMethod, "/Wait") {
		limited, cancel := context.WithTimeout(ctx, e.timeout)
		defer cancel()
		ctx = limited
	}
	err := invoke(ctx, r, reply)
	if errors.Is(err, ttrpc.ErrClosed) {
		return errShimGone
	}
	return err
}

// native maps an error of a shim to its errdefs kind.
func native(err error) error {
	if errdefs.IsUnavailable(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return errgrpc.ToNative(err)
}

func (s *shim) Exec(ctx context.Context, r *tasksapi.ExecProcessRequest, _ ...grpc.CallOption) (*emptypb.Empty, error) {
	reply, err := s.tasks.Exec(ctx, &shimapi.ExecProcessRequest{
		ID: r.GetContainerID(), ExecID: r.GetExecID(), Terminal: r.GetTerminal(),
		Stdin: r.GetStdin(), Stdout: r.GetStdout(), Stderr: r.GetStderr(), Spec: r.GetSpec(),
	})
	return reply, native(err)
}

func (s *shim) Start(ctx context.Context, r *tasksapi.StartRequest, _ ...grpc.CallOption) (*tasksapi.StartResponse, error) {
	reply, err := s.tasks.Start(ctx, &shimapi.StartRequest{ID: r.GetContainerID(), ExecID: r.GetExecID()})
	return &tasksapi.StartResponse{Pid: reply.GetPid()}, native(err)
}

func (s *shim) Wait(ctx context.Context, r *tasksapi.WaitRequest, _ ...grpc.CallOption) (*tasksapi.WaitResponse, error) {
	reply, err := s.tasks.Wait(ctx, &shimapi.WaitRequest{ID: r.GetContainerID(), ExecID: r.GetExecID()})
	return &tasksapi.WaitResponse{ExitStatus: reply.GetExitStatus(), ExitedAt: reply.GetExitedAt()}, native(err)
}

func (s *shim) Kill(ctx context.Context, r *tasksapi.KillRequest, _ ...grpc.CallOption) (*emptypb.Empty, error) {
	reply, err := s.tasks.Kill(ctx, &shimapi.KillRequest{ID: r.GetContainerID(), ExecID: r.GetExecID(), Signal: r.GetSignal(), All: r.GetAll()})
	return reply, native(err)
}

func (s *shim) DeleteProcess(ctx context.Context, r *tasksapi.DeleteProcessRequest, _ ...grpc.CallOption) (*tasksapi.DeleteResponse, error) {
	reply, err := s.tasks.Delete(ctx, &shimapi.DeleteRequest{ID: r.GetContainerID(), ExecID: r.GetExecID()})
	return &tasksapi.DeleteResponse{ID: r.GetExecID(), Pid: reply.GetPid(), ExitStatus: reply.GetExitStatus(), ExitedAt: reply.GetExitedAt()}, native(err)
}

func (s *shim) CloseIO(ctx context.Context, r *tasksapi.CloseIORequest, _ ...grpc.CallOption) (*emptypb.Empty, error) {
	reply, err := s.tasks.CloseIO(ctx, &shimapi.CloseIORequest{ID: r.GetContainerID(), ExecID: r.GetExecID(), Stdin: r.GetStdin()})
	return reply, native(err)
}

func (s *shim) ResizePty(ctx context.Context, r *tasksapi.ResizePtyRequest, _ ...grpc.CallOption) (*emptypb.Empty, error) {
	reply, err := s.tasks.ResizePty(ctx, &shimapi.ResizePtyRequest{ID: r.GetContainerID(), ExecID: r.GetExecID(), Width: r.GetWidth(), Height: r.GetHeight()})
	return reply, native(err)
}
