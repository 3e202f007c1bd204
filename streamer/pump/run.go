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
const lockEvery = 10 * time.Millisecond

// Run resumes recorded pumps, then moves bytes until ctx ends. While another
// process has the directory, it waits. When it returns, everything that it
// started has ended; FIFOs, journals and unread output are left for a
// successor. It may be called once.
func (p *Pumps) Run(ctx context.Context) (err error) {
	defer close(p.ended)
	defer func() { err = errors.Join(err, p.poller.close()) }()
	unlock, err := p.lock(ctx)
	if err != nil || unlock == nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	actors, running := errgroup.WithContext(ctx)
	p.mu.Lock()
	p.running, p.actors, p.sessions = running, actors, &errgroup.Group{}
	p.mu.Unlock()

	err = p.resume()
	if err == nil {
		close(p.resumed)
		actors.Go(p.poller.run)
		<-running.Done()
	}
	return errors.Join(err, p.stop(cancel, unlock))
}

// stop ends the actors, gives the directory away and waits for the sessions,
// whose clients may take their time.
func (p *Pumps) stop(cancel func(), unlock func() error) error {
	errs := []error{p.poller.interrupt()}
	// Nothing starts after this: begin holds the lock and sees the end.
	p.mu.Lock()
	cancel()
	entries := p.entries
	p.entries = map[string]*entry{}
	p.mu.Unlock()
	errs = append(errs, p.actors.Wait())
	for _, e := range entries {
		<-e.ready
		if e.pump != nil {
			errs = append(errs, e.pump.release())
			e.pump.hub.end(fmt.Errorf("pumps have stopped: %w", errdefs.ErrUnavailable))
		}
	}
	p.spaces.drain()
	errs = append(errs, unlock(), p.sessions.Wait())
	return errors.Join(errs...)
}

// act runs a pump's turns, unless the pumps are stopping.
func (p *Pumps) act(turns func() error) error {
	return p.begin(func() { p.actors.Go(turns) })
}

// attend runs a part of a client's session, unless the pumps are stopping.
func (p *Pumps) attend(part func() error) error {
	return p.begin(func() { p.sessions.Go(part) })
}

func (p *Pumps) begin(start func()) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.running == nil || p.running.Err() != nil {
		return fmt.Errorf("pumps are not running: %w", errdefs.ErrUnavailable)
	}
	start()
	return nil
}

// stopping tells a turn to end.
func (p *Pumps) stopping() bool { return p.running.Err() != nil }

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
