package pump

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// lockName is the file whose lock gives the directory to one process. The
// kernel lets go of it after the last call of a killed process has ended.
const lockName = "lock"

// lockEvery is the interval between two attempts to take the lock.
const lockEvery = 2 * time.Millisecond

// Run resumes recorded pumps, then moves bytes until ctx ends or HandOver is
// called, after which it goes on for the sessions that there are. While
// another process has the directory, it waits. When it returns, everything
// that it started has ended; FIFOs, journals and unread output are left for a
// successor. It may be called once.
func (p *Pumps) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, p.poller.close()) }()
	if err := p.Take(ctx); err != nil || p.unlock == nil {
		close(p.ended)
		return err
	}
	living, cancel := context.WithCancel(ctx)
	defer cancel()
	actors, running := errgroup.WithContext(living)
	running, halt := context.WithCancel(running)
	defer halt()
	p.mu.Lock()
	p.living, p.running, p.halt, p.actors, p.sessions = living, running, halt, actors, &errgroup.Group{}
	p.mu.Unlock()

	err = p.resume()
	if err == nil {
		close(p.resumed)
		actors.Go(p.poller.run)
		actors.Go(p.dropUnclaimed)
		<-running.Done()
	}
	return errors.Join(err, p.stop(cancel))
}

// stop ends the actors, gives the directory away and waits for the sessions,
// whose clients may take their time. With a successor they go on until the
// end of Run's context.
func (p *Pumps) stop(cancel func()) error {
	errs := []error{p.poller.interrupt()}
	// No turn starts after this: act holds the lock and sees the end.
	p.mu.Lock()
	p.halt()
	entries, next := p.entries, p.next
	if next == nil {
		cancel()
		p.entries = map[string]*entry{}
	}
	p.mu.Unlock()
	errs = append(errs, p.actors.Wait())
	for _, e := range entries {
		<-e.ready
	}
	settle(entries)
	if next == nil {
		errs = append(errs, release(entries))
	} else {
		p.give(entries)
	}
	p.spaces.drain()
	errs = append(errs, p.unlock())
	close(p.ended)
	<-p.living.Done()
	p.awaitStarting()
	errs = append(errs, p.sessions.Wait())
	return errors.Join(errs...)
}

// awaitStarting returns when no session is between the look at p.living and
// its start: none starts after this.
func (p *Pumps) awaitStarting() {
	p.mu.Lock()
	defer p.mu.Unlock()
}

// release ends pumps and their sessions.
func release(entries map[string]*entry) error {
	var errs []error
	for _, e := range entries {
		if e.pump != nil {
			errs = append(errs, e.pump.release())
			e.pump.hub.end(fmt.Errorf("pumps have stopped: %w", errdefs.ErrUnavailable))
		}
	}
	return errors.Join(errs...)
}

// act runs a pump's turns, unless the pumps are stopping.
func (p *Pumps) act(turns func() error) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.running == nil || p.running.Err() != nil {
		return fmt.Errorf("pumps are not running: %w", errdefs.ErrUnavailable)
	}
	p.actors.Go(turns)
	return nil
}

// attend runs a part of a client's session, unless Run is to return.
func (p *Pumps) attend(part func() error) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.living == nil || p.living.Err() != nil {
		return fmt.Errorf("pumps are not running: %w", errdefs.ErrUnavailable)
	}
	p.sessions.Go(part)
	return nil
}

// stopping tells a turn to end.
func (p *Pumps) stopping() bool { return p.running.Err() != nil }

// Take makes the directory this process's. While another process has it, it
// waits, until ctx ends: that is no error. Run does it, unless it was done.
func (p *Pumps) Take(ctx context.Context) error {
	if p.unlock != nil {
		return nil
	}
	unlock, err := p.lock(ctx)
	p.unlock = unlock
	return err
}

// lock takes the directory. It returns nil if ctx ends first.
func (p *Pumps) lock(ctx context.Context) (unlock func() error, err error) {
	file, err := os.OpenFile(filepath.Join(p.dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	ticker := time.NewTicker(lockEvery)
	defer ticker.Stop()
	waiting := false
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return file.Close, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %q: %w", p.dir, err), file.Close())
		}
		if !waiting {
			waiting = true
			p.log.Info("waiting for another process to hand the pumps over", "dir", p.dir)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, file.Close()
		}
	}
}
