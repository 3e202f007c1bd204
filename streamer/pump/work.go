package pump

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// busy is how much a read must bring, in bytes, for the next to follow at once.
// With less the pump pauses, so that output gathers and a wake-up, a read and
// an append are shared by many lines.
const busy = batchSize / 4

// work serves each source once and returns how long to wait before the next.
func (p *pump) work(events uint32) time.Duration {
	next, open := rest, false
	for _, s := range p.sources {
		if s.ended {
			continue
		}
		next = min(next, p.serve(s, events&(1<<s.index) != 0))
		open = open || !s.ended
	}
	if !open {
		p.outputEnded()
	}
	return next
}

// outputEnded tells everybody once that no output follows.
func (p *pump) outputEnded() {
	if !p.hasEnded() {
		close(p.ended)
		p.hub.end(nil)
	}
}

// serve reads one batch from s, if its watch and the log allow it.
func (p *pump) serve(s *source, event bool) time.Duration {
	if s.armed && !p.forced {
		if !event && s.watched == readable || s.watched == growing && !s.changed() && !s.prompt.due(time.Now()) {
			return rest // the watch is still in force
		}
		if s.watched == growing {
			// Otherwise each write would be reported while this works.
			if err := p.set.poller.watch(s.fd, s.key, quiet); err != nil {
				p.log.Error("fifo is not unwatched", "fifo", s.name, "error", err)
			}
		}
	}
	s.armed = false
	if wait := p.heldBack(time.Now()); wait > 0 {
		return wait
	}
	space, err := p.set.spaces.get()
	if err != nil {
		p.log.Error("output is not read, trying again", "fifo", s.name, "error", err)
		return time.Second
	}
	wait, err := p.batch(s, space)
	p.set.spaces.put(space, errors.Is(err, errBroken))
	if err != nil {
		p.log.Error("output is not read, trying again", "fifo", s.name, "error", err)
		return time.Second
	}
	return wait
}

// heldBack is how long to let the output wait in its FIFOs. A container that
// has ended is not made to wait for its limit.
func (p *pump) heldBack(now time.Time) time.Duration {
	limited := p.rate.wait(now)
	p.trouble.limited.Store(limited > 0 && !p.closing)
	switch {
	case p.forced:
		return 0
	case p.closing:
		return p.trouble.wait(now)
	}
	return max(p.trouble.wait(now), limited)
}

// batch moves what s has, at most one batch of it.
func (p *pump) batch(s *source, space *workspace) (time.Duration, error) {
	if p.request.GetLogPath() == "" {
		return p.passOn(s, space)
	}
	n, err := space.peek(s.fd)
	if done, err := p.nothing(s, n, err); done {
		return rest, err
	}
	final := false
	if n <= s.pending {
		// Nothing new. An unfinished line ends only with its stream, or it is a
		// terminal's prompt.
		prompt := s.prompt.due(time.Now())
		if !p.forced && !prompt && !s.hungUp() {
			p.awaitPrompt(s)
			return rest, nil
		}
		if final = s.available() == n; !final {
			return again, nil
		}
	}
	s.prompt.stop()
	if n > s.shown {
		p.hub.send(s.index, space.in[s.shown:n])
		s.shown = n
	}
	limit := min(s.limit, space.limit)
	window := p.rate.window(n, limit+2)
	out, used := s.framer.Frame(space.out[:0], space.in[:window], time.Now(), limit, roomSize, final && window == n)
	space.out = out
	if used == 0 {
		s.pending = n
		p.awaitPrompt(s)
		return rest, nil
	}
	wait, err := p.commit(s, space.in[:used], out)
	if err != nil || wait > again {
		return wait, err
	}
	s.pending, s.shown = n-used, n-used
	if len(out) >= roomSize || window < n {
		s.pending = 0 // what is left was not looked at
		return again, nil
	}
	return p.pace(n), nil
}

// passOn moves output that is not logged.
func (p *pump) passOn(s *source, space *workspace) (time.Duration, error) {
	n, err := retry(func() (int, error) { return unix.Read(s.fd, space.in) })
	if done, err := p.nothing(s, n, err); done {
		return rest, err
	}
	p.hub.send(s.index, space.in[:n])
	return p.pace(n), nil
}

// nothing handles a read that brought no bytes. It ends s when its writers
// have gone; a FIFO that none has opened yet looks the same to a read.
func (p *pump) nothing(s *source, n int, err error) (done bool, _ error) {
	empty := errors.Is(err, unix.EAGAIN)
	if err != nil && !empty {
		return true, err
	}
	if (n > 0 || empty) && !s.writer {
		s.writer = true
		p.journal.SawWriter(s.index)
	}
	if n == 0 && !empty && (s.writer || p.closing || s.hungUp()) {
		p.journal.SawWriter(s.index) // or the successor would wait for one
		s.close(p.set.poller)
	}
	if n == 0 {
		s.pending, s.shown = 0, 0
	}
	return n == 0, nil
}

func (p *pump) pace(n int) time.Duration {
	if n >= busy || p.closing {
		return again
	}
	return p.set.tuning.pace
}
