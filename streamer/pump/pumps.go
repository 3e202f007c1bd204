// Package pump moves the bytes of containers: from their FIFOs into CRI logs
// and to attached clients, and from a client into their stdin.
//
//	container ─▶ shim ─▶ FIFO ─▶ pump ─┬─▶ log, one write for many lines
//	                                   └─▶ hub ─▶ a bounded queue per client
//
// Invariant: a byte of output leaves its FIFO only after it is in the log, and
// a journal (package journal) makes the two steps one: whenever this process
// is killed, a successor continues with neither a line lost nor one twice. A
// line that waits for its newline stays in the FIFO; only a terminal's is logged
// as a piece when it does not go on.
//
// Each container is an actor: one goroutine at a time takes turns for it, and
// none exists while it is idle. One epoll instance wakes the actors. So an idle
// container costs a few hundred bytes and a mapped page, and a hung disk stalls
// the containers that log to it and no others.
//
// What fails: a log that cannot be written holds its container back while it
// may recover, then output is dropped, counted and warned about, until writing
// works again. Unread output dies with its FIFO when container, shim and this
// process are all gone: the kernel keeps a pipe's content only as long as
// somebody has it open.
package pump

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/internal/ident"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// tuning is what tests make shorter.
type tuning struct {
	pace       time.Duration // between two reads of a stream that has little
	backoff    time.Duration // first wait after a failed append; doubles
	backoffMax time.Duration
	stall      time.Duration // how long a failing log holds its container back
	prompt     time.Duration // for which a terminal's line may wait for its rest
	warnEvery  time.Duration // between two warnings about dropped output
	clientMax  int           // bytes that an attached client may be behind
	followMax  int           // bytes that a draining process may be behind
	claimLimit time.Duration // how long output is kept for a draining process that does not come
	probe      func(string)  // called at each step of the append protocol
}

func defaults() tuning {
	return tuning{
		pace:       time.Millisecond,
		backoff:    20 * time.Millisecond,
		backoffMax: time.Second,
		stall:      10 * time.Second,
		prompt:     time.Second,
		warnEvery:  30 * time.Second,
		clientMax:  4 << 20,
		followMax:  8 << 20,
		claimLimit: 10 * time.Second,
		probe:      func(string) {},
	}
}

// Config is what Pumps are told.
type Config struct {
	// PipeSize, in bytes, is the capacity to ask for each FIFO; the kernel may
	// grant less.
	PipeSize int
	// RateLimit is how many bytes a second of a container's output are logged;
	// beyond it the container is held back by its pipe. 0 for no limit.
	RateLimit int
	// MaxSize, in bytes, is the size at which a log is rotated; 0 for never.
	MaxSize int64
	// MaxFiles is how many logs of a container are kept, with the one in use, if
	// MaxSize is set.
	MaxFiles int
	// Also is given each batch of records that was logged, with its container. It
	// must neither wait nor keep them. Nil for nobody.
	Also func(of *streamerv1.Container, records []byte)
}

// Pumps is the set of all containers' pumps. Safe for concurrent use.
type Pumps struct {
	dir     string
	config  Config
	log     *slog.Logger
	tuning  tuning
	spaces  *workspaces
	poller  *poller
	dropped atomic.Uint64 // bytes of output that are in no log
	unlock  func() error  // nil until the directory is this process's
	written written
	resumed chan struct{}
	ended   chan struct{} // closed when nothing is pumped any more

	mu       sync.RWMutex // never held over I/O
	entries  map[string]*entry
	actors   *errgroup.Group // turns
	sessions *errgroup.Group // attached clients' readers and writers
	living   context.Context // ends when Run is to return
	running  context.Context // ends when pumping is to end
	halt     func()          // ends running
	claims   map[string]*claim
	next     Successor // who has the pumps after this process
}

// entry is a container's place in the set, taken before its I/O begins.
type entry struct {
	request *streamerv1.OpenIORequest
	ready   chan struct{} // closed when pump or err is set
	pump    *pump
	err     error
}

// opened is the container's pump; nil while it is being opened, and if that
// has failed.
func (e *entry) opened() *pump {
	select {
	case <-e.ready:
		return e.pump
	default:
		return nil
	}
}

// New opens the directory in which the FIFOs and journals live, one folder for
// each container, making it if need be. Nothing runs before Run.
func New(dir string, config Config, log *slog.Logger) (*Pumps, error) {
	return newPumps(dir, config, log, defaults())
}

func newPumps(dir string, config Config, log *slog.Logger, t tuning) (*Pumps, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the pumps: %w", err)
	}
	poller, err := newPoller()
	if err != nil {
		return nil, err
	}
	config.PipeSize = max(config.PipeSize, minPages*os.Getpagesize())
	return &Pumps{
		dir:     dir,
		config:  config,
		log:     log,
		tuning:  t,
		spaces:  newWorkspaces(),
		poller:  poller,
		resumed: make(chan struct{}),
		ended:   make(chan struct{}),
		entries: map[string]*entry{},
		claims:  map[string]*claim{},
	}, nil
}

// Resumed is closed when the recorded pumps have been resumed.
func (p *Pumps) Resumed() <-chan struct{} { return p.resumed }

// Count is the number of open containers.
func (p *Pumps) Count() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.entries)
}

// Open makes a container's FIFOs and starts its pump. It is idempotent while
// the request is the same, also across a restart; when the output has ended
// meanwhile, the same FIFOs are made anew. Errors: ErrInvalidArgument
// (id or log path malformed), ErrNotFound (the log's directory does not
// exist), ErrAlreadyExists (open with another request), ErrUnavailable (Run has ended).
func (p *Pumps) Open(ctx context.Context, r *streamerv1.OpenIORequest) (*streamerv1.OpenIOResponse, error) {
	r, err := validated(r)
	if err != nil {
		return nil, err
	}
	if err := p.waitResumed(ctx); err != nil {
		return nil, err
	}
	id := r.GetContainer().GetId()
	for {
		e, mine := p.claim(id, r)
		if mine {
			e.pump, e.err = p.create(ctx, r)
			if e.err != nil {
				p.forget(id, e)
			}
			close(e.ready)
		}
		if err := wait(ctx, e.ready); err != nil {
			return nil, fmt.Errorf("open io of %s: %w", id, err)
		}
		switch {
		case mine && e.err != nil:
			return nil, fmt.Errorf("open io of %s: %w", id, e.err)
		case e.err != nil:
			continue // another call failed; this one tries itself
		case !sameRequest(e.request, r):
			return nil, fmt.Errorf("io of %s is open with another request: %w", id, errdefs.ErrAlreadyExists)
		case !e.pump.hasEnded():
			return e.pump.paths(), nil
		}
		// Its writers have come and gone, as after a task that could not be
		// created. Nobody reads any more, so another task needs new FIFOs.
		if _, err := p.Close(ctx, id, 0); err != nil {
			return nil, err
		}
	}
}

// claim returns the entry of id; mine is true if the caller has to fill it.
func (p *Pumps) claim(id string, r *streamerv1.OpenIORequest) (e *entry, mine bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.entries[id]; ok {
		return e, false
	}
	e = &entry{request: r, ready: make(chan struct{})}
	p.entries[id] = e
	return e, true
}

func (p *Pumps) forget(id string, e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.entries[id] == e {
		delete(p.entries, id)
	}
}

func (p *Pumps) entry(id string) (*entry, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	e, ok := p.entries[id]
	return e, ok
}

// find returns an open container's pump.
func (p *Pumps) find(ctx context.Context, id string) (*pump, error) {
	if err := ident.Check("container_id", id); err != nil {
		return nil, err
	}
	if err := p.waitResumed(ctx); err != nil {
		return nil, err
	}
	e, ok := p.entry(id)
	if ok {
		if err := wait(ctx, e.ready); err != nil {
			return nil, fmt.Errorf("io of %s: %w", id, err)
		}
		ok = e.err == nil
	}
	if !ok {
		return nil, fmt.Errorf("io of container %s: %w", id, errdefs.ErrNotFound)
	}
	return e.pump, nil
}

func (p *Pumps) waitResumed(ctx context.Context) error {
	select {
	case <-p.resumed:
	case <-p.ended:
	case <-ctx.Done():
		return fmt.Errorf("wait until pumps are resumed: %w", context.Cause(ctx))
	}
	select {
	case <-p.ended:
		return fmt.Errorf("pumps have stopped: %w", errdefs.ErrUnavailable)
	default:
		return nil
	}
}

// wait returns when done is closed, or with the reason for which ctx ended.
func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// folder is where a container's FIFOs and journal are. id has been checked.
func (p *Pumps) folder(id string) string { return filepath.Join(p.dir, id) }
