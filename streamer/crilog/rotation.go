package crilog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Beside a log, under names that nobody takes for rotated logs, lie for a
// while the file that is to take the log's place, or a second name of the one
// that took it, and a second name of the one whose place it took.
func nextOf(path string) string { return beside(path, ".next") }
func lastOf(path string) string { return beside(path, ".last") }

func beside(path, suffix string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+suffix)
}

// stampFormat ends the names of rotated logs: what the kubelet ends them with,
// and a fraction, for it sorts by name and these may be many in a second.
const stampFormat = "20060102-150405.000000"

// ErrMoved is returned by Rotate when the log's path does not lead to the
// writer's file: somebody else is just rotating it.
var ErrMoved = errors.New("somebody else has moved the log")

// Rotate gives the log at path, which must be current, a name of its own and
// returns the new file at path. At each instant there is a log at path. Killed
// midway, Mend finishes it; after an error, ErrMoved among others, the current
// file is still in use.
func Rotate(path string, current ID) (*File, error) {
	if err := Settle(path); err != nil {
		return nil, err
	}
	if is, _, err := look(path); err != nil || is != current {
		return nil, fmt.Errorf("rotate log %q: %w", path, errors.Join(err, ErrMoved))
	}
	next := nextOf(path)
	file, err := open(next, unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return nil, err
	}
	if err := replace(path); err != nil {
		return nil, errors.Join(err, file.Close(), remove(next))
	}
	return file, nil
}

// replace puts the next file in the log's place.
func replace(path string) error {
	if err := mendLast(path); err != nil {
		return err
	}
	last := lastOf(path)
	if err := os.Link(path, last); err != nil {
		return fmt.Errorf("keep log: %w", err)
	}
	if err := os.Rename(nextOf(path), path); err != nil {
		return errors.Join(fmt.Errorf("replace log: %w", err), remove(last))
	}
	_ = stamp(path) // the next rotation does it otherwise
	return nil
}

// stamp names the last file for what it is, a rotated log.
func stamp(path string) error {
	last := lastOf(path)
	for at := time.Now(); ; at = at.Add(time.Microsecond) {
		err := os.Link(last, path+"."+at.Format(stampFormat))
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("name rotated log: %w", err)
		}
		return remove(last)
	}
}

// mendLast decides about the second name of a log that was to be replaced.
func mendLast(path string) error {
	last, names, err := look(lastOf(path))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if is, _, err := look(path); err == nil && is == last || names > 1 {
		return remove(lastOf(path)) // not replaced, or stamped already
	}
	return stamp(path)
}

// Renew opens the log at path, and makes it if it has been renamed. One that
// was made has a second name until Settle: a kubelet that does not get the
// answer, for runtime was killed, puts the renamed log back over it.
func Renew(path string) (file *File, second bool, err error) {
	if _, err := Mend(path); err != nil {
		return nil, false, err
	}
	if err := Settle(path); err != nil {
		return nil, false, err
	}
	if _, _, err := look(path); errors.Is(err, os.ErrNotExist) {
		if file, err := makeNamedTwice(path); err == nil {
			return file, true, nil
		}
		// Not every file system can do that.
	}
	file, err = Open(path)
	return file, false, err
}

func makeNamedTwice(path string) (*File, error) {
	next := nextOf(path)
	file, err := open(next, unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return nil, err
	}
	if err := os.Link(next, path); err != nil {
		return nil, errors.Join(fmt.Errorf("make log: %w", err), file.Close(), remove(next))
	}
	return file, nil
}

// Settle removes the second name of a log that Renew has made.
func Settle(path string) error {
	second, err := Mend(path)
	if err != nil || !second {
		return err
	}
	return remove(nextOf(path))
}

// Mend finishes what was cut short of a rotation, and redoes one that was
// taken back after lines had gone to the new file. second says that the log
// has a second name.
func Mend(path string) (second bool, err error) {
	if err := mendLast(path); err != nil {
		return false, err
	}
	next := nextOf(path)
	_, names, err := look(next)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case names > 1:
		return true, nil
	}
	info, err := os.Lstat(next)
	if err != nil {
		return false, fmt.Errorf("mend rotation: %w", err)
	}
	if info.Size() == 0 {
		return false, remove(next) // nothing was written yet
	}
	if _, _, err := look(path); !errors.Is(err, os.ErrNotExist) {
		return false, replace(path)
	}
	if err := os.Rename(next, path); err != nil {
		return false, fmt.Errorf("mend rotation: %w", err)
	}
	return false, nil
}

// look identifies what has a name, and tells how many names it has.
func look(path string) (id ID, names uint64, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return ID{}, 0, fmt.Errorf("look at log: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return ID{}, 0, fmt.Errorf("look at log: %q is not a regular file", path)
	}
	return ID{stat.Dev, stat.Ino}, stat.Nlink, nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove what a rotation left: %w", err)
	}
	return nil
}

// Prune removes the oldest rotated logs of path beyond keep. Names of the
// kubelet's count too, also of logs that it has compressed.
func Prune(path string, keep int) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("look for rotated logs: %w", err)
	}
	var rotated []string
	for _, entry := range entries {
		suffix, ok := strings.CutPrefix(entry.Name(), filepath.Base(path)+".")
		if ok && entry.Type().IsRegular() && isStamp(suffix) {
			rotated = append(rotated, entry.Name())
		}
	}
	slices.Sort(rotated)
	var failed []error
	for _, name := range rotated[:max(len(rotated)-keep, 0)] {
		if err := os.Remove(filepath.Join(filepath.Dir(path), name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			failed = append(failed, fmt.Errorf("remove rotated log: %w", err))
		}
	}
	return errors.Join(failed...)
}

// isStamp tells whether suffix ends a rotated log's name: a time, with or
// without a fraction, and perhaps .gz.
func isStamp(suffix string) bool {
	suffix = strings.TrimSuffix(suffix, ".gz")
	whole, _, _ := strings.Cut(suffix, ".")
	_, err := time.Parse("20060102-150405", whole)
	return err == nil && !strings.HasSuffix(suffix, ".tmp")
}
