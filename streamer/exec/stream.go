package exec

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"github.com/trivet-cri/trivet/internal/telemetry"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/eager"
)

// Streams are a client's ends. Those not asked for are nil.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	TTY            bool
	Resize         <-chan remotecommand.TerminalSize
}

// Stream runs a command with a client's streams and returns its exit code.
// When ctx ends the command is killed. The caller must then make reads of
// Stdin and writes end: Stream waits for the writes, and a last read of Stdin
// may go on after it has returned.
// Errors: as Sync, but for the timeout; ErrResourceExhausted (the container
// has as many sessions as it may).
func (x *Execs) Stream(ctx context.Context, r *streamerv1.PrepareExecRequest, s Streams) (int, error) {
	// The shim wants FIFOs for all outputs, or for nothing at all.
	want := wanted{stdin: s.Stdin != nil, stdout: true, stderr: !s.TTY}
	leave, err := x.sessions.take(r.GetContainer().GetId())
	if err != nil {
		return 0, err
	}
	c, err := x.launch(ctx, leave, r.GetContainer(), r.GetCmd(), want, s.TTY)
	if err != nil {
		return 0, err
	}
	defer c.release(ctx)
	if !s.TTY { // what a terminal is behind its command, its user's interrupt is late
		c.pipes.enlarge()
		widen(c.process.Container, int(c.pid))
	}
	ctx, cancel := context.WithCancel(ctx)
	var controls sync.WaitGroup
	defer controls.Wait()
	defer cancel()
	if want.stdin {
		x.live.Go(func() { c.feed(ctx, s.Stdin) })
	}
	if s.TTY && s.Resize != nil {
		controls.Go(func() { c.resize(ctx, s.Resize) })
	}
	return c.run(ctx, s)
}

// run copies output until the command has exited and its output has ended.
func (c *command) run(ctx context.Context, s Streams) (int, error) {
	var outputs []*output
	var copies sync.WaitGroup
	for _, stream := range []struct {
		from *os.File
		to   io.Writer
	}{{c.pipes.stdout, s.Stdout}, {c.pipes.stderr, s.Stderr}} {
		if stream.from == nil {
			continue
		}
		if stream.to == nil {
			stream.to = io.Discard
		}
		out := &output{file: stream.from}
		outputs = append(outputs, out)
		copies.Go(func() { out.copyTo(stream.to) })
	}
	// A slow client has as long as it needs, but only while it is there.
	stop := context.AfterFunc(ctx, func() {
		for _, out := range outputs {
			out.quiet(1)
		}
	})
	defer stop()
	code, err := c.wait(ctx)
	if err == nil {
		for _, out := range outputs {
			out.quiet(c.x.config.Drain)
		}
	} else {
		c.pipes.close()
	}
	copies.Wait()
	if ctx.Err() != nil {
		return 0, fmt.Errorf("exec in container %q ended: %w", c.process.Container, context.Cause(ctx))
	}
	return int(code), err
}

// feed copies the client's input and then lets the command see its end. What
// the command does not read any more is thrown away, so that the client's
// other frames still arrive.
func (c *command) feed(ctx context.Context, from io.Reader) {
	stdin, err := c.pipes.input(ctx)
	if err == nil {
		err = pour(stdin, from)
		_ = stdin.Close()
	}
	if err != nil {
		_ = pour(io.Discard, from)
		return
	}
	select { // what the shim does not have yet, it would not take after that
	case <-c.bridge.InputEnded():
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return
	}
	if err := c.x.engine.CloseStdin(ctx, c.process); err != nil && ctx.Err() == nil {
		c.x.log.WarnContext(ctx, "command does not see the end of its input", telemetry.ContainerID, c.process.Container, "error", err)
	}
}

// pour copies input until it ends, from the client's own buffers if it has some.
func pour(to io.Writer, from io.Reader) error {
	if source, ok := from.(io.WriterTo); ok {
		_, err := source.WriteTo(eager.New(to))
		return err
	}
	buffer, _ := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buffer)
	// Hiding other methods keeps the copy to this buffer.
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, buffer[:])
	return err
}

// resize sets the terminal's size as often as the client does.
func (c *command) resize(ctx context.Context, sizes <-chan remotecommand.TerminalSize) {
	for {
		select {
		case <-ctx.Done():
			return
		case size, ok := <-sizes:
			if !ok {
				return
			}
			if size.Width == 0 || size.Height == 0 {
				continue
			}
			if err := c.x.engine.Resize(ctx, c.process, size.Width, size.Height); err != nil && ctx.Err() == nil {
				c.x.log.DebugContext(ctx, "terminal not resized", telemetry.ContainerID, c.process.Container, "error", err)
			}
		}
	}
}
