package namespaces

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/runtime/mountpoint"
)

// kind is a type of namespace: the name of its file, in /proc as here, and
// its clone flag.
type kind struct {
	name string
	flag int
}

// In the order in which they are pinned: the user namespace owns the others.
var kinds = []kind{
	{"user", unix.CLONE_NEWUSER},
	{"net", unix.CLONE_NEWNET},
	{"ipc", unix.CLONE_NEWIPC},
	{"uts", unix.CLONE_NEWUTS},
}

// Paths returns the pod's pins. alive says that there are some and that all
// are namespaces: they are not after a reboot or a crash amid Create.
func (p *Pins) Paths(id string) (paths Paths, alive bool, err error) {
	if err := ident.Check("pod id", id); err != nil {
		return Paths{}, false, fmt.Errorf("find namespaces: %w", err)
	}
	var found []kind
	alive = true
	for _, k := range kinds {
		var stat unix.Statfs_t
		err := unix.Statfs(p.path(id, k), &stat)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Paths{}, false, fmt.Errorf("find namespaces of pod %q: stat %s: %w", id, k.name, err)
		}
		found = append(found, k)
		alive = alive && stat.Type == unix.NSFS_MAGIC
	}
	return p.paths(id, found), alive && len(found) > 0, nil
}

// List returns the ids of all pods that have pins, dead ones too.
func (p *Pins) List() ([]string, error) {
	ids, err := ident.InDir(p.dir)
	if err != nil {
		return nil, fmt.Errorf("list pins: %w", err)
	}
	return slices.DeleteFunc(ids, func(id string) bool {
		info, err := os.Lstat(filepath.Join(p.dir, id, "ns"))
		return err != nil || !info.IsDir()
	}), nil
}

func (p *Pins) path(id string, k kind) string {
	return filepath.Join(p.dir, id, "ns", k.name)
}

func (p *Pins) paths(id string, of []kind) Paths {
	var paths Paths
	for _, k := range of {
		path := p.path(id, k)
		switch k.flag {
		case unix.CLONE_NEWUSER:
			paths.User = path
		case unix.CLONE_NEWNET:
			paths.Net = path
		case unix.CLONE_NEWIPC:
			paths.IPC = path
		case unix.CLONE_NEWUTS:
			paths.UTS = path
		}
	}
	return paths
}

// prepare makes the pod's directory and the files that pins are mounted on.
// All exist before the first is mounted, see Paths. ErrExist if there is any.
func (p *Pins) prepare(id string, of []kind) error {
	pod := filepath.Join(p.dir, id)
	if err := makeDir(pod, 0o711); err != nil {
		return err
	}
	// The directory is the claim: whoever finds it does not own what is in it.
	if err := os.Mkdir(filepath.Join(pod, "ns"), 0o700); err != nil {
		return err
	}
	for _, k := range of {
		file, err := os.OpenFile(p.path(id, k), os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0)
		if err != nil {
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	return nil
}

// unpin removes everything that prepare and the mounts have made. The pod's
// directory stays if others keep something in it.
func (p *Pins) unpin(id string) error {
	// Side by side: each unmount waits about a millisecond for the kernel's
	// readers, and they can wait together.
	errs := make([]error, len(kinds))
	var removals sync.WaitGroup
	for i, k := range kinds {
		removals.Go(func() { errs[i] = mountpoint.Remove(p.path(id, k)) })
	}
	removals.Wait()
	failed := []error{errors.Join(errs...)}
	for _, dir := range []string{filepath.Join(p.dir, id, "ns"), filepath.Join(p.dir, id)} {
		err := unix.Rmdir(dir)
		others := errors.Is(err, unix.ENOTEMPTY) && filepath.Base(dir) == id
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !others {
			failed = append(failed, &fs.PathError{Op: "rmdir", Path: dir, Err: err})
		}
	}
	return errors.Join(failed...)
}

// unpinLogged is for when there is nobody to tell.
func (p *Pins) unpinLogged(ctx context.Context, id string) {
	if err := p.unpin(id); err != nil {
		slog.ErrorContext(ctx, "namespaces of a failed pod are left", telemetry.PodID, id, "error", err)
	}
}

// makeDir makes a directory with exactly this mode, whatever the umask. One
// that exists gets it too.
func makeDir(path string, mode os.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if info, err := os.Lstat(path); err != nil || !info.IsDir() {
		return errors.Join(err, &fs.PathError{Op: "mkdir", Path: path, Err: unix.ENOTDIR})
	}
	return os.Chmod(path, mode)
}
