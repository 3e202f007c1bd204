// Package attach joins a client to the streams of a running container.
//
// The pump, which reads the container's FIFOs for its log all the time,
// copies to the client too; what this package adds is the container's
// terminal, which only containerd can resize, and the end of its input. A
// client that leaves takes nothing with it.
package attach

import (
	"context"
	"io"
	"log/slog"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"github.com/trivet-cri/trivet/internal/telemetry"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/engine"
	"github.com/trivet-cri/trivet/streamer/pump"
)

// tellLimit is how many inputs' ends are told to containerd at a time.
const tellLimit = 8

// Pump gives access to a container's streams.
type Pump interface {
	Attach(ctx context.Context, container string, s pump.Streams) error
	Info(container string) (pump.Info, bool)
	EndedInputs(ctx context.Context) (containers []string, err error)
}

// Terminal controls a container's input.
type Terminal interface {
	CloseStdin(context.Context, engine.Process) error
	Resize(ctx context.Context, p engine.Process, width, height uint16) error
}

// Attacher attaches clients. It is safe for concurrent use.
type Attacher struct {
	pump     Pump
	terminal Terminal
	log      *slog.Logger
}

// New returns an Attacher.
func New(p Pump, terminal Terminal, log *slog.Logger) *Attacher {
	return &Attacher{p, terminal, log}
}

// Streams are a client's ends. Those not asked for are nil.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Resize         <-chan remotecommand.TerminalSize
	// Background runs a function that ends with the client's connection.
	Background func(func())
}

// Attach copies until the container's output ends or ctx does. A read of
// Stdin may go on after it has returned, until the connection ends.
// Errors: ErrNotFound (the container has no open streams).
func (a *Attacher) Attach(ctx context.Context, r *streamerv1.PrepareAttachRequest, s Streams) error {
	process := engine.Process{Container: r.GetContainer().GetId()}
	ctx, cancel := context.WithCancel(ctx)
	var controls sync.WaitGroup
	defer controls.Wait()
	defer cancel()
	if r.GetTty() && s.Resize != nil {
		controls.Go(func() { a.resize(ctx, process, s.Resize) })
	}
	if info, ok := a.pump.Info(process.Container); ok && !info.Stdin && s.Stdin != nil {
		// Input that nobody takes must not hold up the client's other frames.
		s.Background(func() { _, _ = io.Copy(io.Discard, s.Stdin) })
		s.Stdin = nil
	}
	return a.pump.Attach(ctx, process.Container, pump.Streams{
		Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr, TTY: r.GetTty(),
		CloseStdin: func(ctx context.Context) error { return a.terminal.CloseStdin(ctx, process) },
	})
}

// EndInputs tells containerd of all inputs that have ended: a predecessor may
// not have come to it. containerd takes it twice.
func (a *Attacher) EndInputs(ctx context.Context) {
	ended, err := a.pump.EndedInputs(ctx)
	if err != nil {
		return // the pumps are ending
	}
	var telling errgroup.Group
	telling.SetLimit(tellLimit)
	for _, id := range ended {
		telling.Go(func() error {
			if err := a.terminal.CloseStdin(ctx, engine.Process{Container: id}); err != nil && ctx.Err() == nil {
				a.log.WarnContext(ctx, "container may not see the end of its input", telemetry.ContainerID, id, "error", err)
			}
			return nil
		})
	}
	_ = telling.Wait() // they have logged
}

func (a *Attacher) resize(ctx context.Context, process engine.Process, sizes <-chan remotecommand.TerminalSize) {
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
			if err := a.terminal.Resize(ctx, process, size.Width, size.Height); err != nil && ctx.Err() == nil {
				a.log.DebugContext(ctx, "terminal not resized", telemetry.ContainerID, process.Container, "error", err)
			}
		}
	}
}
