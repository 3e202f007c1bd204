// Package exec runs commands in containers: at once with their output
// (Sync), or with a client's streams (Stream).
//
//	client ── stream ── FIFO ── shim ── command
//
// Invariant: a process that this package started is killed and deleted, and
// its FIFOs are removed, whatever happens: the command cannot start, the
// client leaves, containerd or this process dies. What cannot be released at
// once is a directory on disk, from which Run, or the next streamer, tries
// again.
package exec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/streamer/engine"
)

// Starter brings a process to life and sees its end.
type Starter interface {
	Exec(context.Context, engine.Process, engine.Command) error
	Start(context.Context, engine.Process) (pid uint32, err error)
	Wait(context.Context, engine.Process) (code uint32, err error)
}

// Ender releases processes; unknown ones are no error of Kill and Delete.
type Ender interface {
	Pid(context.Context, engine.Process) (uint32, error)
	Kill(context.Context, engine.Process) error
	Delete(context.Context, engine.Process) error
}

// Terminal controls a process's input.
type Terminal interface {
	CloseStdin(context.Context, engine.Process) error
	Resize(ctx context.Context, p engine.Process, width, height uint16) error
}

// Engine is what exec needs of containerd.
type Engine interface {
	Starter
	Ender
	Terminal
}

// Config are the limits.
type Config struct {
	// OutputLimit is in bytes, of each stream of a Sync.
	OutputLimit int
	// Drain is how long output is waited for after a command has exited.
	Drain time.Duration
	// PerContainer is how many Streams, and how many Syncs, a container may
	// have at a time; 0 for no limit. A further Stream is refused, for somebody
	// looks at it; a further Sync waits for its turn, at most for its timeout.
	PerContainer int
}

// Execs runs commands. It is safe for concurrent use.
type Execs struct {
	engine   Engine
	config   Config
	sessions seats
	syncs    seats
	log      *slog.Logger
	root     string    // holds a directory for each streamer
	own      *instance // this one's
	spares   spares
	poke     chan struct{}
	mu       sync.Mutex
	stopping bool
	left     map[engine.Process]leftover
	live     sync.WaitGroup // commands, and copies of input
}

// New returns Execs that keep FIFOs below dir. Run it.
func New(dir string, eng Engine, config Config, log *slog.Logger) (*Execs, error) {
	own, err := newInstance(dir)
	if err != nil {
		return nil, err
	}
	return &Execs{
		engine: eng, config: config, log: log, root: dir, own: own, spares: spares{dir: own.spare()},
		sessions: seats{limit: config.PerContainer}, syncs: seats{limit: config.PerContainer},
		poke: make(chan struct{}, 1), left: make(map[engine.Process]leftover),
	}, nil
}

// Run releases what dead streamers and failed releases have left, again and
// again until ctx ends. Then no command can be started any more, and it
// returns when all have ended: end their contexts first.
func (x *Execs) Run(ctx context.Context) error {
	x.janitor(ctx)
	x.mu.Lock()
	x.stopping = true
	x.mu.Unlock()
	x.live.Wait()
	return errors.Join(x.spares.close(), x.own.close())
}

// enter counts a command; x.live.Done ends it.
func (x *Execs) enter() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stopping {
		return fmt.Errorf("streamer is stopping: %w", errdefs.ErrUnavailable)
	}
	x.live.Add(1)
	return nil
}
