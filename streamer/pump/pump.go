package pump

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/telemetry"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/crilog"
	"github.com/trivet-cri/trivet/streamer/journal"
	"github.com/trivet-cri/trivet/streamer/shimio"
)

const (
	// rest is the wait of a pump that has nothing to do until it is woken.
	rest time.Duration = math.MaxInt64
	// again is no wait.
	again time.Duration = 0
	// everything stands for an event on each source.
	everything = 1<<journal.Streams - 1
)

// pump is one container's actor. Turns run one at a time; the fields of the
// first group belong to the running turn, those of the second are safe.
type pump struct {
	sources  []*source
	logFile  *crilog.File // nil without a log, or while it cannot be opened
	tornAt   int64        // size to which logFile must be cut first, or -1
	journal  *journal.Journal
	trouble  trouble
	rate     rate
	rotation rotation
	closing  bool // Close was called: a stream without writers has ended
	forced   bool // Close waits no longer

	set     *Pumps
	id      string
	dir     string
	request *streamerv1.OpenIORequest
	log     *slog.Logger
	hub     *hub
	stdin   *stdin         // nil if not asked for
	bridge  *shimio.Bridge // nil if the shim has the FIFOs itself
	ended   chan struct{}  // closed when the output has ended

	kick   chan struct{} // ends a turn's pause
	mu     sync.Mutex
	events uint32
	ops    []op
	active bool // a turn is running, or none may yet
	gone   bool // released; takes no more turns
}

// op is a call that a turn makes for somebody else.
type op struct {
	call func() error
	done chan error // has room for the result
}

// assemble opens the FIFOs and makes the pump, which owns j from then on. It
// takes no turn before begin, whatever its FIFOs do.
func (p *Pumps) assemble(r *streamerv1.OpenIORequest, j *journal.Journal) (*pump, error) {
	c := r.GetContainer()
	pump := &pump{
		set: p, id: c.GetId(), dir: p.folder(c.GetId()), request: r, journal: j, tornAt: -1,
		log: p.log.With(telemetry.ContainerFields(c.GetId(), c.GetName())...).
			With(telemetry.PodFields(c.GetPodId(), c.GetPodNamespace(), c.GetPodName(), c.GetPodUid())...),
		rate: rate{limit: p.config.RateLimit}, rotation: rotation{size: p.config.MaxSize, files: p.config.MaxFiles},
		hub:   newHub(p.tuning.clientMax),
		ended: make(chan struct{}),
		kick:  make(chan struct{}, 1), active: true, // until begin
	}
	outputs := len(outputNames)
	if r.GetTty() {
		outputs = 1
	}
	for i := range outputs {
		s, err := pump.openSource(i, int(r.GetMaxLogLineSize()))
		if err != nil {
			return nil, errors.Join(err, pump.release())
		}
		pump.sources = append(pump.sources, s)
	}
	if r.GetStdin() {
		var err error
		if pump.stdin, err = openStdin(filepath.Join(pump.dir, stdinName)); err != nil {
			return nil, errors.Join(err, pump.release())
		}
	}
	return pump, nil
}

func (p *pump) paths() *streamerv1.OpenIOResponse {
	if p.bridge != nil {
		return &streamerv1.OpenIOResponse{
			Stdin:  p.bridge.URL(shimio.Stdin, p.request.GetStdin()),
			Stdout: p.bridge.URL(shimio.Stdout, true), Stderr: p.bridge.URL(shimio.Stderr, !p.request.GetTty()),
		}
	}
	r := &streamerv1.OpenIOResponse{Stdout: filepath.Join(p.dir, outputNames[0])}
	if !p.request.GetTty() {
		r.Stderr = filepath.Join(p.dir, outputNames[1])
	}
	if p.request.GetStdin() {
		r.Stdin = filepath.Join(p.dir, stdinName)
	}
	return r
}

// begin lets turns run, the first because of events.
func (p *pump) begin(events uint32) error {
	p.mu.Lock()
	p.active = false
	p.mu.Unlock()
	return p.wake(events)
}

// wake asks for a turn because of events, one bit a source.
func (p *pump) wake(events uint32) error { return p.schedule(events, nil) }

// wakeQuietly is for the poller: when the pumps stop, the successor looks.
func (p *pump) wakeQuietly(events uint32) { _ = p.schedule(events, nil) }

func (p *pump) schedule(events uint32, o *op) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return p.goneError()
	}
	if !p.active {
		if err := p.set.act(p.turns); err != nil {
			return err
		}
		p.active = true
	}
	p.events |= events
	if o != nil {
		p.ops = append(p.ops, *o)
	}
	select {
	case p.kick <- struct{}{}:
	default:
	}
	return nil
}

// do makes call in a turn and returns its error. When ctx ends first, the
// call may still be made.
func (p *pump) do(ctx context.Context, call func() error) error {
	o := &op{call: call, done: make(chan error, 1)}
	if err := p.schedule(0, o); err != nil {
		return err
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.set.ended:
		return fmt.Errorf("pumps have stopped: %w", errdefs.ErrUnavailable)
	}
}

func (p *pump) take() (uint32, []op) {
	p.mu.Lock()
	defer p.mu.Unlock()
	events, ops := p.events, p.ops
	p.events, p.ops = 0, nil
	select {
	case <-p.kick: // for what was taken just now
	default:
	}
	return events, ops
}

// turns works until there is nothing to do.
func (p *pump) turns() error {
	for {
		events, ops := p.take()
		for _, o := range ops {
			o.done <- o.call()
		}
		if p.isGone() || p.set.stopping() {
			return nil
		}
		switch next := p.work(events); {
		case next == rest && p.park():
			return nil
		case next != rest && next > again:
			p.pause(next)
		}
	}
}

// park arms the watches and ends the turn, unless something came meanwhile.
func (p *pump) park() bool {
	for _, s := range p.sources {
		if s.ended || s.armed {
			continue
		}
		s.watched = readable
		if s.pending > 0 {
			s.watched = growing
		}
		if err := p.set.poller.watch(s.fd, s.key, s.watched); err != nil {
			p.log.Error("fifo is not watched, trying again", "fifo", s.name, "error", err)
			p.pause(time.Second)
			return false
		}
		s.armed = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active = p.events != 0 || len(p.ops) > 0
	return !p.active
}

// pause waits for d, an event, a call, or the end.
func (p *pump) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.kick:
	case <-p.set.running.Done():
	}
}

// hasEnded tells whether the output has ended and was drained.
func (p *pump) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func (p *pump) isGone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}

// goneError is for calls that come after release.
func (p *pump) goneError() error {
	if p.set.stopping() {
		return fmt.Errorf("pumps have stopped: %w", errdefs.ErrUnavailable)
	}
	return fmt.Errorf("io of container %s: %w", p.id, errdefs.ErrNotFound)
}

// release closes what the pump holds in this process; FIFOs, journal and
// unread output stay. No turn may be running, or the caller is the turn.
func (p *pump) release() error {
	return errors.Join(p.releaseOutput(), p.stdin.release())
}

// releaseOutput is release without stdin.
func (p *pump) releaseOutput() error {
	p.mu.Lock()
	p.gone = true
	late := p.ops
	p.ops = nil
	p.mu.Unlock()
	for _, o := range late {
		o.done <- p.goneError()
	}
	for _, s := range p.sources {
		s.close(p.set.poller)
	}
	p.bridge.Close()
	var errs []error
	if p.logFile != nil {
		errs = append(errs, p.logFile.Close())
		p.logFile = nil
	}
	if p.journal != nil {
		errs = append(errs, p.journal.Close())
		p.journal = nil
	}
	return errors.Join(errs...)
}

// remove makes a folder disappear; the request goes first, so that a part of
// the folder is never taken for an open container.
func remove(dir string) error {
	if err := os.Remove(filepath.Join(dir, requestName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove io: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove io: %w", err)
	}
	return nil
}
