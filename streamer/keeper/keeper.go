// Package keeper keeps unread output of containers alive while nobody of the
// group runs.
//
// What a container has written lies in a FIFO, and a FIFO's content lives as
// long as some process has it open. A container that ends while the streamer
// is away takes its shim with it, the last who had; so its last words would be
// lost. The keeper is a process of its own, outside of the group, that does
// nothing but hold the reading ends of all FIFOs open, without reading:
//
//	STATE/io/<container id>/{stdout,stderr} ◀── open ── keeper
//	                                        ◀── read ── streamer, or its successor
//
// It is told nothing: it watches the directory. It opens what appears and
// closes what has been removed, so there is no protocol that versions could
// disagree about, and no state. A lock makes it the only one. It ends when there
// have been no FIFOs for a while; the streamer starts another when it needs
// one. Killed, it costs only what it is there for.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/ident"
)

const (
	// lockName is the file in the directory whose lock the keeper has.
	lockName = "keeper.lock"
	// idleLimit is how long a keeper stays with nothing to keep. It is short,
	// so that nothing is left of a group soon after its last container.
	idleLimit = time.Second
	// lookEvery is the pause between looks at the directory without an event.
	lookEvery = 5 * time.Second
)

// settleAfter are the times after an event at which to look again: a
// container's FIFOs appear shortly after its directory.
var settleAfter = []time.Duration{2 * time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond}

// errBusy means that another keeper has the lock.
var errBusy = errors.New("another keeper is there")

// keeper holds FIFOs of one directory.
type keeper struct {
	dir  string
	log  *slog.Logger
	held map[string]*os.File // by path
}

// Run keeps the FIFOs below dir until ctx ends or there has been nothing to
// keep for a while. A second keeper of the same directory returns at once.
func Run(ctx context.Context, dir string, log *slog.Logger) error {
	lock, err := takeLock(dir)
	if errors.Is(err, errBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // the lock goes with it
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	defer func() { _ = watcher.Close() }() // nothing is written
	if err := watcher.Add(dir); err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	k := &keeper{dir: dir, log: log, held: make(map[string]*os.File)}
	defer k.release()
	return k.follow(ctx, watcher)
}

func takeLock(dir string) (*os.File, error) {
	file, err := openLock(dir)
	if err != nil {
		return nil, err
	}
	err = unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	if err == nil {
		return file, nil
	}
	_ = file.Close() // nothing is written
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return nil, errBusy
	}
	return nil, fmt.Errorf("take keeper's lock: %w", err)
}

// isLocked looks at the lock without taking it, for a keeper that begins just
// then would take that for another one.
func isLocked(dir string) (bool, error) {
	file, err := openLock(dir)
	if err != nil {
		return false, err
	}
	defer func() { _ = file.Close() }() // nothing is written
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(file.Fd(), unix.F_OFD_GETLK, &lock); err != nil {
		return false, fmt.Errorf("look at keeper's lock: %w", err)
	}
	return lock.Type != unix.F_UNLCK, nil
}

func openLock(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open keeper's lock: %w", err)
	}
	return file, nil
}

// follow looks at the directory whenever something happens in it.
func (k *keeper) follow(ctx context.Context, watcher *fsnotify.Watcher) error {
	idleSince := time.Now()
	look := time.NewTimer(0)
	defer look.Stop()
	settling := 0 // next of settleAfter, or beyond its end
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-watcher.Events:
			if !ok {
				return fmt.Errorf("watch %s: the watch has ended", k.dir)
			}
			settling = 0
		case err := <-watcher.Errors:
			// Events were lost: the regular look makes up for them.
			k.log.WarnContext(ctx, "watch of containers' fifos", "error", err)
		case <-look.C:
		}
		if err := k.look(); err != nil {
			return err
		}
		if len(k.held) > 0 {
			idleSince = time.Now()
		} else if time.Since(idleSince) >= idleLimit {
			return nil
		}
		next := lookEvery
		if len(k.held) == 0 {
			next = idleLimit
		}
		if settling < len(settleAfter) {
			next = settleAfter[settling]
			settling++
		}
		look.Reset(next)
	}
}

// look opens FIFOs that are new and closes those that are gone.
func (k *keeper) look() error {
	entries, err := os.ReadDir(k.dir)
	if errors.Is(err, fs.ErrNotExist) {
		entries = nil // the state directory was removed: nothing is to be kept
	} else if err != nil {
		return fmt.Errorf("list containers' fifos: %w", err)
	}
	there := make(map[string]bool)
	for _, e := range entries {
		if !e.IsDir() || ident.Check("container id", e.Name()) != nil {
			continue
		}
		for _, name := range []string{"stdout", "stderr"} {
			path := filepath.Join(k.dir, e.Name(), name)
			if k.hold(path) {
				there[path] = true
			}
		}
	}
	for path, file := range k.held {
		if !there[path] {
			_ = file.Close() // only kept
			delete(k.held, path)
		}
	}
	return nil
}

// hold opens the FIFO at path unless it is held; a new one in the place of
// another replaces that. It tells whether there is one.
func (k *keeper) hold(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		return false
	}
	if file, ok := k.held[path]; ok {
		if now, err := file.Stat(); err == nil && os.SameFile(info, now) {
			return true
		}
		_ = file.Close() // only kept
		delete(k.held, path)
	}
	// Through unix, for os.File would watch the FIFO for readability.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		k.log.Warn("fifo is not kept", "path", path, "error", err)
		return false
	}
	_ = unix.SetNonblock(fd, false) // so that NewFile leaves the poller out
	k.held[path] = os.NewFile(uintptr(fd), path)
	return true
}

func (k *keeper) release() {
	for _, file := range k.held {
		_ = file.Close() // only kept
	}
}
