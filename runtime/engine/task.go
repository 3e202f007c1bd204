package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TaskIO are the FIFOs of a task, from the streamer.
type TaskIO struct {
	Stdin, Stdout, Stderr string
	Terminal              bool
}

// Task is what containerd knows of a container's process.
type Task struct {
	ID       string
	PID      int
	Created  bool // its process was not started yet
	Stopped  bool
	ExitCode uint32    // valid when stopped
	ExitedAt time.Time // valid when stopped
}

// CreateTask starts the shim and creates the container without running its
// process. runtimePath is the shim's binary, empty to have it found.
func (e *Engine) CreateTask(ctx context.Context, id string, rootfs []mount.Mount, io TaskIO, runtimePath string) (pid int, err error) {
	response, err := e.client.TaskService().Create(ctx, createRequest(id, rootfs, io, runtimePath))
	if err != nil {
		return 0, fmt.Errorf("create task %s: %w", id, errgrpc.ToNative(err))
	}
	return int(response.GetPid()), nil
}

func createRequest(id string, rootfs []mount.Mount, io TaskIO, runtimePath string) *tasks.CreateTaskRequest {
	request := &tasks.CreateTaskRequest{
		ContainerID: id, Stdin: io.Stdin, Stdout: io.Stdout, Stderr: io.Stderr, Terminal: io.Terminal,
		RuntimePath: runtimePath,
	}
	for _, m := range rootfs {
		request.Rootfs = append(request.Rootfs, &types.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options})
	}
	return request
}

// StartTask runs the process of a created task.
func (e *Engine) StartTask(ctx context.Context, id string) (pid int, err error) {
	response, err := e.client.TaskService().Start(ctx, &tasks.StartRequest{ContainerID: id})
	if err != nil {
		return 0, fmt.Errorf("start task %s: %w", id, errgrpc.ToNative(err))
	}
	return int(response.GetPid()), nil
}

// KillTask sends a signal to the first process, or to all processes of the
// container. A task that has ended or is not there is errdefs.ErrNotFound.
func (e *Engine) KillTask(ctx context.Context, id string, signal unix.Signal, all bool) error {
	_, err := e.client.TaskService().Kill(ctx, &tasks.KillRequest{ContainerID: id, Signal: uint32(signal), All: all})
	if err != nil {
		return fmt.Errorf("send %s to task %s: %w", unix.SignalName(signal), id, shimError(err))
	}
	return nil
}

// DeleteTask removes a task that has ended, and its shim. One that is not
// there is no error; one that still runs is errdefs.ErrFailedPrecondition.
func (e *Engine) DeleteTask(ctx context.Context, id string) error {
	_, err := e.client.TaskService().Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
	err = shimError(err)
	switch {
	case err == nil || errdefs.IsNotFound(err):
		return nil
	case strings.Contains(err.Error(), "cannot delete a running process"):
		// The shim gives this answer no kind.
		return fmt.Errorf("delete task %s: %w: %w", id, err, errdefs.ErrFailedPrecondition)
	}
	return fmt.Errorf("delete task %s: %w", id, err)
}

// errShimGone is what containerd answers from the end of a shim until it has
// noticed it, and knows of no such task any more.
var errShimGone = fmt.Errorf("the shim has ended: %w", errdefs.ErrUnavailable)

// shimError gives an error that passed through containerd its kind.
func shimError(err error) error {
	if err != nil && strings.Contains(err.Error(), ttrpc.ErrClosed.Error()) {
		return errors.Join(errShimGone, err)
	}
	return errgrpc.ToNative(err)
}

// GetTask asks the shim. No task is errdefs.ErrNotFound.
func (e *Engine) GetTask(ctx context.Context, id string) (Task, error) {
	response, err := e.client.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: id})
	if err != nil {
		return Task{}, fmt.Errorf("look at task %s: %w", id, errgrpc.ToNative(err))
	}
	process := response.GetProcess()
	return Task{
		ID: id, PID: int(process.GetPid()),
		Created: process.GetStatus() == tasktypes.Status_CREATED, Stopped: process.GetStatus() == tasktypes.Status_STOPPED,
		ExitCode: process.GetExitStatus(), ExitedAt: process.GetExitedAt().AsTime(),
	}, nil
}

// UpdateTask changes the limits of a running container. Limits that resources
// lacks stay. Annotations are for the shim alone.
func (e *Engine) UpdateTask(ctx context.Context, id string, resources *specs.LinuxResources, annotations map[string]string) error {
	packed, err := typeurl.MarshalAnyToProto(resources)
	if err != nil {
		return fmt.Errorf("encode resources of task %s: %w", id, err)
	}
	_, err = e.client.TaskService().Update(ctx, &tasks.UpdateTaskRequest{ContainerID: id, Resources: packed, Annotations: annotations})
	if err != nil {
		return fmt.Errorf("update resources of task %s: %w", id, errgrpc.ToNative(err))
	}
	return nil
}
