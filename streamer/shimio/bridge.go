// Package shimio joins FIFOs of this process with streams that a shim serves,
// for runtime handlers with io_type = "streaming": a shim in a virtual machine
// has no FIFOs of the host.
//
//	container ─▶ shim ══ containerd's streaming API ══▶ Bridge ─▶ FIFO ─▶ pump or exec
//
// A bridge takes the shim's place at the FIFOs, so that all that is done with
// output and input is done with FIFOs, whatever the handler.
//
// Invariant: the writing end of an output FIFO is open from Open on, and is
// closed only when the shim has ended the stream: a connection that breaks is
// made again under the same id, again and again, and is no end of anything.
// Only for a container that has exited (Expire), a shim that cannot be reached
// is an end.
//
// What fails: the API has no acknowledgements, so what a shim has sent, at
// most a window of 64 KiB of each stream, is lost if this process is killed or
// the connection breaks before it is in the FIFO. An orderly end (Settle)
// receives what is under way first, for which the FIFO has room; it loses only
// what an unhurried shim sends in the very moment.
package shimio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

// Names of streams, and of their FIFOs.
const (
	Stdin  = "stdin"
	Stdout = "stdout"
	Stderr = "stderr"
)

const (
	firstPause = 20 * time.Millisecond // between two attempts to connect; doubles
	lastPause  = 2 * time.Second
)

// Plan is what a bridge is to join.
type Plan struct {
	Endpoint Endpoint
	// ID is the container's or the exec's: ID-stdout is a stream's id.
	ID string
	// Dir has the FIFOs, named as the streams. The other ends are open.
	Dir string
	// Streams are the names of those to join.
	Streams []string
	// Resume says that the streams were opened before, by whoever was here then:
	// Open does not wait for the shim.
	Resume bool
	// Room says that a FIFO is to have room for what is under way, as Settle
	// needs it: then a shim is held back before its FIFO is full.
	Room bool
	// Ended, if set, is called when the shim has ended an output stream, before
	// its FIFO's end can be seen.
	Ended func(name string)
	Log   *slog.Logger
}

// Bridge is the streams of one process in a shim. A nil Bridge has none. Its
// methods may be called concurrently. It must be closed.
type Bridge struct {
	plan   Plan
	links  []link
	input  chan struct{} // closed when the input has ended
	life   context.Context
	cancel context.CancelFunc
	// settling ends when the bridge is to come to an orderly end, and with life.
	settling context.Context
	settle   context.CancelFunc
	// expired ends when the process has exited, and with life.
	expired context.Context
	expire  context.CancelFunc
	work    sync.WaitGroup
}

// link is one stream and its FIFO.
type link interface {
	// carry carries bytes until the stream ends (io.EOF) or breaks.
	carry(ctx context.Context, s *stream) error
	// end is called once, after the last carry. reached says that the stream's
	// end was.
	end(reached bool)
	name() string
}

// Open opens the FIFOs and, unless they are resumed, the streams, and joins
// them until Close. Errors: ErrUnavailable (the shim cannot be reached),
// ErrFailedPrecondition (it has no streaming service).
func Open(ctx context.Context, plan Plan) (_ *Bridge, err error) {
	b := &Bridge{plan: plan, input: make(chan struct{})}
	b.life, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
	b.settling, b.settle = context.WithCancel(b.life)
	b.expired, b.expire = context.WithCancel(b.life)
	streams := make([]*stream, len(plan.Streams))
	defer func() {
		if err != nil {
			b.abandon(streams)
		}
	}()
	for i, name := range plan.Streams {
		one, err := b.open(name)
		if err != nil {
			return nil, err
		}
		b.links = append(b.links, one)
		if plan.Resume {
			continue
		}
		if streams[i], err = b.first(ctx, name); err != nil {
			return nil, err
		}
	}
	if !slices.Contains(plan.Streams, Stdin) {
		close(b.input)
	}
	for i, one := range b.links {
		b.work.Go(func() { b.run(one, streams[i]) })
	}
	return b, nil
}

func (b *Bridge) open(name string) (link, error) {
	path := filepath.Join(b.plan.Dir, name)
	if name == Stdin {
		return openInput(b, path)
	}
	return openOutput(b, name, path)
}

// first connects a stream for the caller, who is told what is wrong.
func (b *Bridge) first(ctx context.Context, name string) (*stream, error) {
	// The stream outlives ctx, which must be able to end the connecting.
	life, cancel := context.WithCancel(b.life)
	stop := context.AfterFunc(ctx, cancel)
	s, err := b.plan.Endpoint.connect(life, b.id(name))
	if err == nil && !stop() {
		s.close()
		err = context.Cause(ctx)
	}
	if err != nil {
		stop()
		cancel()
		if errdefs.IsNotImplemented(err) {
			err = fmt.Errorf(`shim has no streaming service, as io_type = "streaming" needs it: %w: %w`, err, errdefs.ErrFailedPrecondition)
		}
		return nil, err
	}
	own := s.cancel
	s.cancel = func() { own(); cancel() }
	return s, nil
}

// abandon releases what a failed Open has made.
func (b *Bridge) abandon(streams []*stream) {
	b.cancel()
	for _, s := range streams {
		if s != nil {
			s.close()
		}
	}
	for _, one := range b.links {
		one.end(false)
	}
}

func (b *Bridge) id(name string) string { return b.plan.ID + "-" + name }

// URL is what the shim is told in the place of a FIFO's path; empty for a
// stream that is not asked for.
func (b *Bridge) URL(name string, ask bool) string {
	if !ask {
		return ""
	}
	return b.plan.Endpoint.URL(b.id(name))
}

// run carries one stream over as many connections as it takes.
func (b *Bridge) run(one link, s *stream) {
	reached := false
	defer func() { one.end(reached) }()
	log := b.plan.Log.With("stream", one.name(), "endpoint", b.plan.Endpoint.String())
	pause, broken := firstPause, false
	for {
		var err error
		if s == nil {
			s, err = b.plan.Endpoint.connect(b.life, b.id(one.name()))
		}
		if s != nil {
			if broken {
				log.Info("connected to the shim's stream again")
			}
			begun := time.Now()
			err = one.carry(b.life, s)
			s.close()
			s, broken = nil, false
			if time.Since(begun) > lastPause {
				pause = firstPause
			}
		}
		reached = b.life.Err() == nil && (errors.Is(err, errEnd) || errdefs.IsNotFound(err) || b.expired.Err() != nil)
		if reached || b.settling.Err() != nil || errors.Is(err, errNoReader) {
			return
		}
		if !broken {
			broken = true
			log.Warn("shim's stream has broken, connecting again", "error", err)
		}
		b.rest(pause)
		if b.settling.Err() != nil {
			return
		}
		pause = min(2*pause, lastPause)
	}
}

// rest is the pause between two attempts.
func (b *Bridge) rest(pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.expired.Done(): // one more attempt
	case <-b.settling.Done():
	}
}

// InputEnded is closed when the shim has all of the input, or takes no more.
func (b *Bridge) InputEnded() <-chan struct{} {
	if b == nil {
		return ended
	}
	return b.input
}

var ended = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Expire says that the process has exited: a stream that is not connected and
// cannot be has ended.
func (b *Bridge) Expire() {
	if b != nil {
		b.expire()
	}
}

// Settle begins an orderly end, after which a successor can connect: what is
// under way is received first, within settleLimit. Wait waits for it.
func (b *Bridge) Settle() {
	if b != nil {
		b.settle()
	}
}

// Wait returns when all streams have ended or settled.
func (b *Bridge) Wait() {
	if b != nil {
		b.work.Wait()
	}
}

// Close breaks the connections and releases everything.
func (b *Bridge) Close() {
	if b != nil {
		b.cancel()
		b.work.Wait()
	}
}
