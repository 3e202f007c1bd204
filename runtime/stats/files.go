package stats

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/runtime/cgroup"
)

// Cgroups reads cgroups.
type Cgroups interface {
	// Read returns what the cgroup has used; path is below the mount of the
	// hierarchy. Errors: NotFound if no controller knows it; any other comes with
	// what could be read.
	Read(path string) (Usage, error)
}

// NewCgroups returns this machine's, of version 2 or 1.
func NewCgroups(v2 bool) Cgroups { return NewCgroupsAt(cgroup.Mount, v2) }

// NewCgroupsAt returns those that are mounted below root.
func NewCgroupsAt(root string, v2 bool) Cgroups {
	if v2 {
		return version2{root}
	}
	return version1{root}
}

// reading reads the files of one cgroup and gathers what is wrong with them.
type reading struct {
	Usage
	failed []error
}

// file hands a file's text to use. One that is not there is passed over: the
// controller, the feature or the whole cgroup may not be, or may have gone a
// moment ago.
func (r *reading) file(path string, use func(text string) error) {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EOPNOTSUPP):
		return
	case err == nil:
		err = use(string(text))
	}
	if err != nil {
		r.failed = append(r.failed, fmt.Errorf("read %s: %w", path, err))
	}
}

// number reads a file that is one number into the place that into gives.
func (r *reading) number(path string, into func(n uint64)) {
	r.file(path, func(text string) error {
		n, err := number(text)
		if err == nil {
			into(n)
		}
		return err
	})
}

// limit reads a file with a limit, nil for none.
func (r *reading) limit(path string) (found *uint64) {
	r.file(path, func(text string) (err error) {
		found, err = limit(text)
		return err
	})
	return found
}

// pressure reads a file of pressure stall information, nil if there is none.
func (r *reading) pressure(path string) (found *Pressure) {
	r.file(path, func(text string) (err error) {
		found, err = pressure(text)
		return err
	})
	return found
}

// end is the result of Read.
func (r *reading) end(path string) (Usage, error) {
	r.Time = time.Now()
	if len(r.failed) == 0 && r.CPU == nil && r.Memory == nil && r.Processes == nil {
		return Usage{}, fmt.Errorf("cgroup %q: %w", path, errdefs.ErrNotFound)
	}
	return r.Usage, errors.Join(r.failed...)
}

// below is a directory of a cgroup. A path is never the hierarchy's root, nor
// does it leave the hierarchy.
func below(root, path string) (string, error) {
	relative := filepath.Join(".", path)
	if relative == "." || !filepath.IsLocal(relative) {
		return "", fmt.Errorf("cgroup %q: %w", path, errdefs.ErrInvalidArgument)
	}
	return filepath.Join(root, relative), nil
}
