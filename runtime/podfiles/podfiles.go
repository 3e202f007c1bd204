// Package podfiles makes the files that all containers of a pod share:
//
//	DIR/<pod id>/{hostname,hosts,resolv.conf}
//	DIR/<pod id>/shm      a tmpfs, the pod's /dev/shm; or a link to the host's
//	DIR/<pod id>/logs     a link to the volume that shows the pod's logs, if it asks for one
//
// Containers have them as bind mounts, so the files keep their inodes for as
// long as the pod lives. Either all exist or Create has left nothing. A reboot
// takes the tmpfs away; Exists tells, Remove clears what is left.
package podfiles

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/internal/undo"
	"github.com/trivet-cri/trivet/runtime/mountpoint"
)

// undoLimit is how long a failed Create may take to clean up.
const undoLimit = 10 * time.Second

// Files are the host paths of a pod's files.
type Files struct {
	Hostname, Hosts, ResolvConf string
	// Shm is the host's own /dev/shm for a pod with the host's IPC namespace.
	Shm string
	// Logs is the volume on which the pod's logs are mounted, empty for none.
	Logs string
}

// Request is what a pod's files depend on besides its configuration.
type Request struct {
	MountLabel string // SELinux label of the files and the tmpfs, empty without SELinux
	ShmSize    int64  // bytes of /dev/shm, 0 for 64 MiB
	// LogVolume is a directory, without links, on which the pod's logs are to be
	// mounted; empty for none.
	LogVolume string
}

// Store keeps pods' files below one directory. Its methods are safe for
// concurrent use, but for the same pod only one of Create and Remove may run.
// Use New.
type Store struct {
	dir     string
	machine Machine
}

// Machine is the host that pods' files are made from.
type Machine struct {
	Hosts, ResolvConf string // files that are copied
	Shm               string // for pods with the host's IPC namespace
	Hostname          func() (string, error)
}

// ThisMachine is the one that the process runs on.
func ThisMachine() Machine {
	return Machine{Hosts: "/etc/hosts", ResolvConf: "/etc/resolv.conf", Shm: "/dev/shm", Hostname: os.Hostname}
}

// New keeps files below dir, which is made if it is missing, for pods of this
// machine.
func New(dir string) (*Store, error) { return NewOn(dir, ThisMachine()) }

// NewOn is New for pods of another machine.
func NewOn(dir string, machine Machine) (*Store, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("directory of pods' files %q is not absolute", dir)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("make directory of pods' files: %w", err)
	}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("make directory of pods' files: %w", err)
	}
	return &Store{dir: filepath.Clean(dir), machine: machine}, nil
}

// Create makes all files of the pod, or none. A pod whose files
// exist is ErrAlreadyExists, configuration that cannot be is
// ErrInvalidArgument with field and value.
func (s *Store) Create(ctx context.Context, id string, pod *runtimeapi.PodSandboxConfig, r Request) (Files, error) {
	if err := ident.Check("pod id", id); err != nil {
		return Files{}, fmt.Errorf("make files: %w", err)
	}
	err := telemetry.Span(ctx, "podfiles.create", func(ctx context.Context) error {
		return s.create(ctx, id, pod, r)
	})
	if err != nil {
		return Files{}, fmt.Errorf("make files of pod %q: %w", id, err)
	}
	return s.Paths(id), nil
}

func (s *Store) create(ctx context.Context, id string, pod *runtimeapi.PodSandboxConfig, r Request) (err error) {
	contents, err := s.contents(pod)
	if err != nil {
		return err
	}
	var made undo.Stack
	defer func() {
		if err != nil {
			err = errors.Join(err, made.Run(ctx, undoLimit))
		}
	}()
	dir := filepath.Join(s.dir, id)
	if err := makeDir(dir); err != nil {
		return err
	}
	made.Add("directory", func(context.Context) error { return removeDir(dir) })
	for _, c := range contents {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		path := filepath.Join(dir, c.name)
		// What exists is another pod's business, so it is not undone.
		if err := writeNew(path, c.text, r.MountLabel, &made); err != nil {
			if errors.Is(err, fs.ErrExist) {
				err = fmt.Errorf("%w: %w", err, errdefs.ErrAlreadyExists)
			}
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := s.createShm(id, pod, r, &made); err != nil {
		return err
	}
	return showLogs(s.at(id).Logs, pod.GetLogDirectory(), r, &made)
}

// Paths are where the pod's files are, if it has any.
func (s *Store) Paths(id string) Files {
	files := s.at(id)
	if target, err := os.Readlink(files.Shm); err == nil {
		files.Shm = target
	}
	files.Logs, _ = os.Readlink(files.Logs)
	return files
}

// at are the files in the pod's own directory.
func (s *Store) at(id string) Files {
	at := func(name string) string { return filepath.Join(s.dir, id, name) }
	return Files{Hostname: at(hostname), Hosts: at(hosts), ResolvConf: at(resolvConf), Shm: at(shm), Logs: at(logs)}
}

// Exists tells whether the pod's files can be used, which they cannot after a
// reboot or a crash amid Create.
func (s *Store) Exists(id string) (bool, error) {
	if err := ident.Check("pod id", id); err != nil {
		return false, fmt.Errorf("find files: %w", err)
	}
	files := s.at(id)
	for _, path := range []string{files.Hostname, files.Hosts, files.ResolvConf} {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		} else if err != nil {
			return false, fmt.Errorf("find files of pod %q: %w", id, err)
		}
	}
	usable, err := hasShm(files.Shm)
	if err != nil {
		return false, fmt.Errorf("find files of pod %q: %w", id, err)
	}
	return usable, nil
}

// Remove removes the pod's files, also half-made ones. It is idempotent.
// Containers that still run keep the tmpfs until they end.
func (s *Store) Remove(ctx context.Context, id string) error {
	if err := ident.Check("pod id", id); err != nil {
		return fmt.Errorf("remove files: %w", err)
	}
	err := telemetry.Span(ctx, "podfiles.remove", func(context.Context) error {
		files := s.at(id)
		failed := []error{hideLogs(files.Logs), mountpoint.Remove(files.Shm)}
		for _, path := range []string{files.Hostname, files.Hosts, files.ResolvConf} {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				failed = append(failed, err)
			}
		}
		return errors.Join(append(failed, removeDir(filepath.Join(s.dir, id)))...)
	})
	if err != nil {
		return fmt.Errorf("remove files of pod %q: %w", id, err)
	}
	return nil
}
