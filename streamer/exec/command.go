package exec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/telemetry"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/engine"
	"github.com/trivet-cri/trivet/streamer/shimio"
)

const (
	// releaseLimit bounds the killing and deleting of one process; then the
	// janitor goes on. The shim alone may wait 10 seconds for a child that
	// holds the process's streams.
	releaseLimit = 20 * time.Second
	// killLimit bounds the wait for a killed process's exit.
	killLimit = 5 * time.Second
)

// command is a process in a container, with its FIFOs.
type command struct {
	x        *Execs
	leave    func() // its seat
	process  engine.Process
	endpoint string // of the shim's streams; empty: it opens the FIFOs itself
	pipes    *pipes
	pair     *pair          // in place of pipes
	bridge   *shimio.Bridge // nil without an endpoint
	pid      uint32         // 0 until it runs
	asked    bool           // containerd may know the process
	exited   bool
}

// launch starts a command. On success the caller must call release. It owns
// the command's seat, which leave gives back.
func (x *Execs) launch(ctx context.Context, leave func(), in *streamerv1.Container, args []string, want wanted, terminal bool) (*command, error) {
	if err := x.enter(); err != nil {
		leave()
		return nil, err
	}
	c := &command{x: x, leave: leave, process: newProcess(in.GetId()), endpoint: in.GetStreamEndpoint()}
	err := telemetry.Span(ctx, "start command", func(ctx context.Context) error {
		return c.start(ctx, args, want, terminal)
	})
	if err != nil {
		c.release(ctx)
		return nil, err
	}
	return c, nil
}

func (c *command) start(ctx context.Context, args []string, want wanted, terminal bool) error {
	path, err := c.open(ctx, want)
	if err != nil {
		return err
	}
	c.asked = true
	if err := c.x.engine.Exec(ctx, c.process, engine.Command{
		Args: args, Terminal: terminal,
		Stdin: path(shimio.Stdin, want.stdin), Stdout: path(shimio.Stdout, want.stdout), Stderr: path(shimio.Stderr, want.stderr),
	}); err != nil {
		return err
	}
	if c.pid, err = c.x.engine.Start(ctx, c.process); err != nil {
		return err
	}
	if c.pipes != nil {
		c.pipes.connected()
	}
	return nil
}

// open makes the command's streams. path is what the shim opens for one;
// empty if there is no such stream.
func (c *command) open(ctx context.Context, want wanted) (path func(name string, ask bool) string, err error) {
	dir := c.x.own.dir(c.process)
	path = func(name string, ask bool) string {
		if !ask {
			return ""
		}
		return filepath.Join(dir, name)
	}
	if want.brief && c.endpoint == "" {
		c.pair, err = c.x.spares.take(dir)
		return path, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of FIFOs: %w", err)
	}
	if c.pipes, err = openPipes(dir, want); err != nil || c.endpoint == "" {
		return path, err
	}
	if err := c.join(ctx, dir, want); err != nil {
		return nil, err
	}
	return c.bridge.URL, nil
}

// join has a bridge put the shim's streams into the FIFOs. A successor has no
// use for them: it ends the command.
func (c *command) join(ctx context.Context, dir string, want wanted) error {
	endpoint, err := shimio.Parse(c.endpoint)
	if err != nil {
		return err
	}
	c.bridge, err = shimio.Open(ctx, shimio.Plan{
		Endpoint: endpoint, ID: c.process.ID, Dir: dir, Streams: want.names(),
		Log: c.x.log.With(telemetry.ContainerID, c.process.Container, "exec", c.process.ID),
	})
	if err == nil && want.stdin {
		_, err = c.pipes.input(ctx) // or the bridge would see an end before the client comes
	}
	return err
}

// wait returns the exit code.
func (c *command) wait(ctx context.Context) (uint32, error) {
	code, err := c.x.engine.Wait(ctx, c.process)
	if err == nil {
		c.exited = true
		c.bridge.Expire()
	}
	return code, err
}

// release ends the command, if it still runs, and removes what there is of
// it. What fails is left to the janitor.
func (c *command) release(ctx context.Context) {
	defer c.x.live.Done()
	defer c.leave()
	if c.pipes != nil {
		c.pipes.close()
	}
	c.bridge.Close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseLimit)
	defer cancel()
	if c.asked {
		if err := c.x.end(ctx, c.process, c.pid, c.exited); err != nil {
			c.x.log.WarnContext(ctx, "command is left over, will try again", telemetry.ContainerID, c.process.Container, "exec", c.process.ID, "error", err)
			c.x.leave(c.process, leftover{c.pid, c.exited})
			if c.pair != nil {
				c.pair.close()
			}
			return
		}
	}
	if err := c.removeStreams(); err != nil {
		c.x.log.WarnContext(ctx, "directory of FIFOs is left over", telemetry.ContainerID, c.process.Container, "error", err)
	}
}

func (c *command) removeStreams() error {
	if c.pair != nil {
		return c.x.spares.give(c.pair)
	}
	return removePipes(c.x.own.dir(c.process))
}

// end kills and deletes a process. pid is 0 if not known.
func (x *Execs) end(ctx context.Context, p engine.Process, pid uint32, exited bool) error {
	if exited {
		return x.engine.Delete(ctx, p)
	}
	if pid == 0 {
		pid, _ = x.engine.Pid(ctx, p) // not found, or Kill will say what is wrong
	}
	killTree(p.Container, int(pid))
	killErr := x.engine.Kill(ctx, p)
	if killErr == nil && pid != 0 {
		waiting, cancel := context.WithTimeout(ctx, killLimit)
		defer cancel()
		if _, err := x.engine.Wait(waiting, p); err != nil && !errdefs.IsNotFound(err) {
			killErr = err
		}
	}
	// A process that cannot be killed because it never ran can be deleted.
	if err := x.engine.Delete(ctx, p); err != nil {
		return errors.Join(killErr, err)
	}
	return nil
}
