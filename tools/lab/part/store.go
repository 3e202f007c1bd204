package part

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Store is where parts come from and where they lie.
type Store struct {
	Source string    // directory of the lab's own source, tools/lab
	Cache  string    // parts lie below it
	Out    io.Writer // progress
}

// Build makes the parts that are missing. One Build of a cache runs at a
// time; others wait for it and then find what it has made.
func (s Store) Build(ctx context.Context, parts []Part) error {
	missing, err := Missing(s, parts)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		unlock, err := s.lock(ctx)
		if err != nil {
			return err
		}
		defer unlock()
	}
	begun := time.Now()
	for i, p := range parts {
		if err := s.buildOne(ctx, p, fmt.Sprintf("[%2d/%d] %s", i+1, len(parts), p.Name())); err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		return nil
	}
	s.say("the lab is built: %s", time.Since(begun).Round(time.Second))
	return s.prune()
}

func (s Store) buildOne(ctx context.Context, p Part, title string) error {
	where, err := p.Find(s)
	if err == nil {
		s.say("%s: present", title)
		s.use(where)
		return nil
	}
	if !errors.Is(err, ErrMissing) {
		return fmt.Errorf("find %s: %w", p.Name(), err)
	}
	s.say("%s: building", title)
	begun := time.Now()
	if err := p.make(ctx, s); err != nil {
		return fmt.Errorf("build %s: %w", p.Name(), err)
	}
	s.say("%s: built in %s", title, time.Since(begun).Round(time.Second))
	return nil
}

// say writes a line of progress. Nobody may be reading any more.
func (s Store) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.Out, format+"\n", args...)
}

// use marks a part of the cache as used now.
func (s Store) use(dir string) {
	if filepath.Dir(dir) == filepath.Clean(s.Cache) {
		_ = os.Chtimes(dir, time.Time{}, time.Now()) // it lives shorter otherwise
	}
}

// keep is how long a part stays that no build has asked for: it is of another
// version, or was never finished.
const keep = 7 * 24 * time.Hour

// prune removes what has not been used for long. The caller holds the lock.
func (s Store) prune() error {
	entries, err := os.ReadDir(s.Cache)
	if err != nil {
		return fmt.Errorf("remove old parts: %w", err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < keep {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.Cache, entry.Name())); err != nil {
			return fmt.Errorf("remove old parts: %w", err)
		}
	}
	return nil
}

// lock takes the cache's lock, which a killed holder gives back.
func (s Store) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(s.Cache, 0o755); err != nil {
		return nil, fmt.Errorf("lock %s: %w", s.Cache, err)
	}
	file, err := os.OpenFile(filepath.Join(s.Cache, "build.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", s.Cache, err)
	}
	for told := false; ; told = true {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", s.Cache, err), file.Close())
		}
		if !told {
			s.say("waiting for another build of the lab to end")
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		case <-time.After(200 * time.Millisecond):
		}
	}
}
