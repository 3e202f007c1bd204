package harness

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Container is a container of a pod.
type Container struct {
	ID      string
	LogPath string // absolute
	Pod     *Pod
	cri     *CRI
}

// ContainerEdit changes a container's configuration before it is created.
type ContainerEdit func(*runtimeapi.ContainerConfig)

// Shell is an edit: the container runs script in busybox's shell.
func Shell(script string) ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) { c.Command = []string{"/bin/sh", "-c", script} }
}

// Image is an edit: the container's image.
func Image(name string) ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) { c.Image = &runtimeapi.ImageSpec{Image: name} }
}

// OwnCommand is an edit: the container runs what its image says.
func OwnCommand(c *runtimeapi.ContainerConfig) { c.Command, c.Args = nil, nil }

// Create creates a container of the busybox image, without starting it.
// Unless an edit says otherwise it sleeps until it is stopped.
func (p *Pod) Create(ctx context.Context, name string, edits ...ContainerEdit) (*Container, error) {
	cfg := &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: name},
		Image:    &runtimeapi.ImageSpec{Image: Busybox},
		LogPath:  filepath.Join(name, "0.log"),
		Labels:   map[string]string{"trivet.test": name},
		Linux:    &runtimeapi.LinuxContainerConfig{},
	}
	Shell("trap 'exit 0' TERM; while :; do sleep 1 & wait; done")(cfg)
	for _, edit := range edits {
		edit(cfg)
	}
	return p.CreateConfig(ctx, cfg)
}

// CreateConfig creates a container. Like a kubelet it makes the container's
// log directory inside the pod's, which must be there.
func (p *Pod) CreateConfig(ctx context.Context, cfg *runtimeapi.ContainerConfig) (*Container, error) {
	log := ""
	if cfg.GetLogPath() != "" && p.Config.GetLogDirectory() != "" {
		log = filepath.Join(p.Config.GetLogDirectory(), cfg.GetLogPath())
		if err := makeLogDir(p.Config.GetLogDirectory(), log); err != nil {
			return nil, err
		}
	}
	reply, err := p.cri.CreateContainer(ctx, &runtimeapi.CreateContainerRequest{
		PodSandboxId: p.ID, Config: cfg, SandboxConfig: p.Config,
	})
	if err != nil {
		return nil, fmt.Errorf("create container %s: %w", cfg.GetMetadata().GetName(), err)
	}
	return &Container{ID: reply.GetContainerId(), LogPath: log, Pod: p, cri: p.cri}, nil
}

// Run creates and starts a container.
func (p *Pod) Run(ctx context.Context, name string, edits ...ContainerEdit) (*Container, error) {
	container, err := p.Create(ctx, name, edits...)
	if err != nil {
		return nil, err
	}
	return container, container.Start(ctx)
}

// Start starts the container.
func (c *Container) Start(ctx context.Context) error {
	if _, err := c.cri.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: c.ID}); err != nil {
		return fmt.Errorf("start container %s: %w", c.ID, err)
	}
	return nil
}

// Stop stops the container; after grace it is killed.
func (c *Container) Stop(ctx context.Context, grace time.Duration) error {
	_, err := c.cri.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: c.ID, Timeout: int64(grace.Seconds())})
	if err != nil {
		return fmt.Errorf("stop container %s: %w", c.ID, err)
	}
	return nil
}

// Remove removes the container.
func (c *Container) Remove(ctx context.Context) error {
	if _, err := c.cri.RemoveContainer(ctx, &runtimeapi.RemoveContainerRequest{ContainerId: c.ID}); err != nil {
		return fmt.Errorf("remove container %s: %w", c.ID, err)
	}
	return nil
}

// Status is the container's CRI status.
func (c *Container) Status(ctx context.Context) (*runtimeapi.ContainerStatus, error) {
	reply, err := c.cri.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: c.ID})
	if err != nil {
		return nil, fmt.Errorf("status of container %s: %w", c.ID, err)
	}
	return reply.GetStatus(), nil
}

// AwaitExit waits until the container has exited and returns its status.
func (c *Container) AwaitExit(ctx context.Context) (*runtimeapi.ContainerStatus, error) {
	var exited *runtimeapi.ContainerStatus
	err := Wait(ctx, "exit of container "+c.ID, func(ctx context.Context) error {
		status, err := c.Status(ctx)
		if err != nil {
			return err
		}
		if status.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED {
			return fmt.Errorf("state is %s", status.GetState())
		}
		exited = status
		return nil
	})
	return exited, err
}

// ExecSync runs a command in the container; an exit code other than 0 is no
// error of the call.
func (c *Container) ExecSync(ctx context.Context, limit time.Duration, command ...string) (*runtimeapi.ExecSyncResponse, error) {
	reply, err := c.cri.ExecSync(ctx, &runtimeapi.ExecSyncRequest{
		ContainerId: c.ID, Cmd: command, Timeout: int64(limit.Seconds()),
	})
	if err != nil {
		return nil, fmt.Errorf("exec %q in container %s: %w", command, c.ID, err)
	}
	return reply, nil
}

// Output runs a shell script in the container and returns its standard
// output; an exit code other than 0 is an error.
func (c *Container) Output(ctx context.Context, script string) (string, error) {
	reply, err := c.ExecSync(ctx, 30*time.Second, "/bin/sh", "-c", script)
	if err != nil {
		return "", err
	}
	if reply.GetExitCode() != 0 {
		return "", fmt.Errorf("script %q in container %s: exit code %d: %s", script, c.ID, reply.GetExitCode(), reply.GetStderr())
	}
	return string(reply.GetStdout()), nil
}

// PID is the process id of the container's first process, on the host,
// from the verbose CRI status.
func (c *Container) PID(ctx context.Context) (int, error) {
	reply, err := c.cri.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: c.ID, Verbose: true})
	if err != nil {
		return 0, fmt.Errorf("status of container %s: %w", c.ID, err)
	}
	return verbosePID(reply.GetInfo())
}

// ExecURL asks for an exec session.
func (c *Container) ExecURL(ctx context.Context, tty, stdin bool, command ...string) (string, error) {
	reply, err := c.cri.Exec(ctx, &runtimeapi.ExecRequest{
		ContainerId: c.ID, Cmd: command, Tty: tty, Stdin: stdin, Stdout: true, Stderr: !tty,
	})
	if err != nil {
		return "", fmt.Errorf("exec in container %s: %w", c.ID, err)
	}
	return reply.GetUrl(), nil
}

// AttachURL asks for an attach session.
func (c *Container) AttachURL(ctx context.Context, tty, stdin bool) (string, error) {
	reply, err := c.cri.Attach(ctx, &runtimeapi.AttachRequest{
		ContainerId: c.ID, Tty: tty, Stdin: stdin, Stdout: true, Stderr: !tty,
	})
	if err != nil {
		return "", fmt.Errorf("attach to container %s: %w", c.ID, err)
	}
	return reply.GetUrl(), nil
}

// verbosePID reads the pid out of the verbose status, which has it under
// "pid" or inside the JSON document "info".
func verbosePID(info map[string]string) (int, error) {
	if text, ok := info["pid"]; ok {
		pid, err := strconv.Atoi(text)
		if err != nil {
			return 0, fmt.Errorf("verbose status has pid %q: %w", text, err)
		}
		return pid, nil
	}
	return infoPID(info["info"])
}
