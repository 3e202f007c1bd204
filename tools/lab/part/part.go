// Package part builds or installs what labs are made of, at pinned versions,
// and finds it again.
//
// A part that is built lies in a directory of the cache whose name has a hash
// of everything it was built from: the pinned module graph, the recipe, the
// compiler. A directory is complete when it has that name, for it is filled
// under another one and renamed. So a second run only looks whether the names
// are there, two versions never meet, and a build that fails or is killed
// leaves nothing that is taken for a part.
package part

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Part is one thing that a lab needs.
type Part interface {
	// Name is what people call it, its version included.
	Name() string
	// Find returns where it is, or an error of kind ErrMissing.
	Find(s Store) (string, error)
	// make puts it there. Progress goes to the store's Out.
	make(ctx context.Context, s Store) error
}

// ErrMissing is the kind of error that says that a part is not there.
var ErrMissing = errors.New("missing")

// ID is the part's name without the version.
func ID(p Part) string {
	id, _, _ := strings.Cut(p.Name(), " ")
	return id
}

// Parts are all, those first that the others or most labs need.
func Parts() []Part {
	return []Part{
		containerd, runc, cni, crictl, iptables, busybox, images{}, crun, criu, critest, jaeger,
	}
}

// Select returns the parts with the given ids, or all if there are none.
func Select(ids []string) ([]Part, error) {
	all := Parts()
	if len(ids) == 0 {
		return all, nil
	}
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(p Part) bool { return ID(p) == id }) {
			return nil, fmt.Errorf("no part is called %q; the parts are %s", id, strings.Join(names(all), ", "))
		}
	}
	return slices.DeleteFunc(all, func(p Part) bool { return !slices.Contains(ids, ID(p)) }), nil
}

func names(parts []Part) []string {
	var ids []string
	for _, p := range parts {
		ids = append(ids, ID(p))
	}
	return ids
}

// Missing returns those that are not there.
func Missing(s Store, parts []Part) ([]Part, error) {
	var missing []Part
	for _, p := range parts {
		_, err := p.Find(s)
		if errors.Is(err, ErrMissing) {
			missing = append(missing, p)
		} else if err != nil {
			return nil, fmt.Errorf("find %s: %w", p.Name(), err)
		}
	}
	return missing, nil
}

// key is a short hash of texts.
func key(texts ...string) string {
	hash := sha256.New()
	for _, text := range texts {
		_, _ = fmt.Fprintf(hash, "%d:%s", len(text), text) // never fails
	}
	return hex.EncodeToString(hash.Sum(nil))[:16]
}

// find returns the directory of a built part if it is there.
func find(dir string) (string, error) {
	_, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrMissing
	}
	return dir, err
}

// fill makes dir by calling do with another directory, which then takes its
// place.
func fill(dir string, do func(work string) error) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "building-")
	if err != nil {
		return err
	}
	if err := errors.Join(do(work), os.Chmod(work, 0o755)); err != nil {
		return errors.Join(err, os.RemoveAll(work))
	}
	return os.Rename(work, dir)
}
