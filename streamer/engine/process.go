package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/anypb"
)

// processType is how containerd names a JSON-encoded OCI process.
const processType = "types.containerd.io/opencontainers/runtime-spec/1/Process"

// Process names a process beside a container's own. An empty ID is the
// container's own process.
type Process struct {
	Container string
	ID        string
}

func (p Process) String() string {
	if p.ID == "" {
		return fmt.Sprintf("container %q", p.Container)
	}
	return fmt.Sprintf("exec %q of container %q", p.ID, p.Container)
}

// Command is what to run and where its streams are.
type Command struct {
	Args     []string
	Terminal bool
	// Stdin, Stdout and Stderr are FIFOs; an empty path is /dev/null.
	Stdin, Stdout, Stderr string
}

// Exec prepares a process; Start runs it. What Exec made, also if it fails,
// is released by Delete. Errors: ErrNotFound (no such container), ErrFailedPrecondition
// (the container is not running).
func (e *Engine) Exec(ctx context.Context, p Process, c Command) error {
	process, err := e.process(ctx, p.Container, c.Args, c.Terminal)
	if err != nil {
		return err
	}
	encoded, err := json.Marshal(process)
	if err != nil {
		return fmt.Errorf("encode process: %w", err)
	}
	request := &tasksapi.ExecProcessRequest{
		ContainerID: p.Container, ExecID: p.ID,
		Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr, Terminal: c.Terminal,
		Spec: &anypb.Any{TypeUrl: processType, Value: encoded},
	}
	e.reach(p)
	_, err = e.service(p).Exec(ctx, request)
	if errors.Is(err, errShimGone) { // it may have gone since the process before
		e.shims.drop(p, false)
		_, err = e.service(p).Exec(ctx, request)
	}
	return e.explain(ctx, p.Container, err)
}

// Start runs a prepared process and returns its pid, as containerd sees it.
// A command that cannot be run gives the OCI runtime's own message.
func (e *Engine) Start(ctx context.Context, p Process) (uint32, error) {
	reply, err := e.service(p).Start(ctx, &tasksapi.StartRequest{ContainerID: p.Container, ExecID: p.ID})
	return reply.GetPid(), e.explain(ctx, p.Container, err)
}

// Wait returns the exit code when the process has exited. It goes on when
// containerd is restarted meanwhile, or the connection to the shim is lost.
func (e *Engine) Wait(ctx context.Context, p Process) (uint32, error) {
	var code uint32
	err := e.awaitBack(ctx, p, func(s service) error {
		reply, err := s.Wait(ctx, &tasksapi.WaitRequest{ContainerID: p.Container, ExecID: p.ID})
		code = reply.GetExitStatus()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("wait for %v: %w", p, err)
	}
	return code, nil
}

// Pid returns the pid of a process that runs, as containerd sees it.
// Errors: ErrNotFound (it has exited or never was).
func (e *Engine) Pid(ctx context.Context, p Process) (uint32, error) {
	reply, err := e.tasks.Get(ctx, &tasksapi.GetRequest{ContainerID: p.Container, ExecID: p.ID})
	if err != nil {
		return 0, fmt.Errorf("look for %v: %w", p, err)
	}
	if reply.GetProcess().GetStatus() != tasktypes.Status_RUNNING {
		return 0, fmt.Errorf("%v does not run: %w", p, errdefs.ErrNotFound)
	}
	return reply.GetProcess().GetPid(), nil
}

// Kill sends SIGKILL. It is no error if the process has exited.
func (e *Engine) Kill(ctx context.Context, p Process) error {
	_, err := e.service(p).Kill(ctx, &tasksapi.KillRequest{ContainerID: p.Container, ExecID: p.ID, Signal: uint32(unix.SIGKILL)})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("kill %v: %w", p, err)
	}
	return nil
}

// Delete releases an exited process. It is no error if there is none. If it
// fails, containerd is asked the next time.
func (e *Engine) Delete(ctx context.Context, p Process) error {
	_, err := e.service(p).DeleteProcess(ctx, &tasksapi.DeleteProcessRequest{ContainerID: p.Container, ExecID: p.ID})
	e.shims.drop(p, err == nil || errdefs.IsNotFound(err))
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete %v: %w", p, err)
	}
	return nil
}

// CloseStdin lets the process see the end of its input, once the writers of
// the FIFO have closed it too. As nobody asks again, it waits for a containerd
// that is being restarted.
func (e *Engine) CloseStdin(ctx context.Context, p Process) error {
	err := e.awaitBack(ctx, p, func(s service) error {
		_, err := s.CloseIO(ctx, &tasksapi.CloseIORequest{ContainerID: p.Container, ExecID: p.ID, Stdin: true})
		return err
	})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("close stdin of %v: %w", p, err)
	}
	return nil
}

// Resize sets the size of a process's terminal, in characters. It waits as
// CloseStdin does.
func (e *Engine) Resize(ctx context.Context, p Process, width, height uint16) error {
	err := e.awaitBack(ctx, p, func(s service) error {
		_, err := s.ResizePty(ctx, &tasksapi.ResizePtyRequest{
			ContainerID: p.Container, ExecID: p.ID, Width: uint32(width), Height: uint32(height),
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("resize terminal of %v: %w", p, err)
	}
	return nil
}

// explain finds out whether an exec was refused because of the container's
// state, which the shim only says in words.
func (e *Engine) explain(ctx context.Context, container string, err error) error {
	if err == nil || ctx.Err() != nil || errdefs.IsUnavailable(err) && !errors.Is(err, errShimGone) {
		return err
	}
	reply, stateErr := e.tasks.Get(ctx, &tasksapi.GetRequest{ContainerID: container})
	if errdefs.IsNotFound(stateErr) {
		e.templates.drop(container)
		return e.notRunning(ctx, container)
	}
	status := reply.GetProcess().GetStatus()
	if stateErr == nil && slices.Contains([]tasktypes.Status{
		tasktypes.Status_CREATED, tasktypes.Status_STOPPED, tasktypes.Status_PAUSED, tasktypes.Status_PAUSING,
	}, status) {
		return fmt.Errorf("container %q is not running but %s: %w: %w", container, stateName(status), errdefs.ErrFailedPrecondition, err)
	}
	return fmt.Errorf("exec in container %q: %w", container, err)
}

// notRunning tells a container without a task from none at all.
func (e *Engine) notRunning(ctx context.Context, container string) error {
	if _, err := e.readProcess(ctx, container); errdefs.IsNotFound(err) {
		return err
	}
	return fmt.Errorf("container %q is not running: %w", container, errdefs.ErrFailedPrecondition)
}

func stateName(status tasktypes.Status) string {
	switch status {
	case tasktypes.Status_CREATED:
		return "created"
	case tasktypes.Status_STOPPED:
		return "stopped"
	case tasktypes.Status_PAUSED, tasktypes.Status_PAUSING:
		return "paused"
	default:
		return status.String()
	}
}
