// Package mountsfile is for files of mounts that all containers of a node have,
// as Podman and CRI-O have them (mounts.conf): mostly subscriptions.
//
//	/usr/share/rhel/secrets:/run/secrets
//
// A container gets a copy, not the files themselves: it may change them, and
// they stay what they were at its creation.
package mountsfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Mount is one line.
type Mount struct {
	Source string // file or directory of the host
	Target string // in containers
}

// Read reads a file. Empty lines and those that begin with # say nothing; any
// other is SOURCE[:TARGET], both absolute. An error names file and line.
func Read(file string) ([]Mount, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	mounts, err := parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s:%w", file, err)
	}
	return mounts, nil
}

func parse(text string) ([]Mount, error) {
	var mounts []Mount
	seen := make(map[string]bool)
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		source, target, given := strings.Cut(line, ":")
		if !given {
			target = source
		}
		m := Mount{Source: path.Clean(source), Target: path.Clean(target)}
		switch {
		case !path.IsAbs(source), !path.IsAbs(target), m.Target == "/", strings.ContainsRune(line, 0):
			return nil, fmt.Errorf("%d: %.200q is not SOURCE:TARGET, two absolute paths", number, line)
		case seen[m.Target]:
			return nil, fmt.Errorf("%d: %.200q: %s is there twice", number, line, m.Target)
		}
		seen[m.Target] = true
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// Exists tells whether there is something at the source. What is missing is
// left out of containers.
func (m Mount) Exists() (bool, error) {
	_, err := os.Stat(m.Source)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for default mount: %w", err)
	}
	return true, nil
}

// maxDepth is how deep a directory may be. Links are followed, and may lead
// around in a circle.
const maxDepth = 32

// Copy copies the source to the path at, which must not exist, with modes and
// what links lead to.
func (m Mount) Copy(ctx context.Context, at string) error {
	if err := copyTree(ctx, at, m.Source, 0); err != nil {
		return fmt.Errorf("copy default mount %q: %w", m.Source, err)
	}
	return nil
}

func copyTree(ctx context.Context, to, from string, depth int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	info, err := os.Stat(from)
	switch {
	case errors.Is(err, fs.ErrNotExist) && depth > 0:
		return nil // a link to nothing
	case err != nil:
		return err
	case info.Mode().IsRegular():
		return copyFile(to, from, info.Mode().Perm())
	case !info.IsDir():
		return fmt.Errorf("%q is no file and no directory", from)
	case depth == maxDepth:
		return fmt.Errorf("%q is deeper than %d directories", from, maxDepth)
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := copyTree(ctx, filepath.Join(to, entry.Name()), filepath.Join(from, entry.Name()), depth+1); err != nil {
			return err
		}
	}
	return os.Chmod(to, info.Mode().Perm())
}

func copyFile(to, from string, mode fs.FileMode) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read from
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Chmod(mode) // whatever the umask
}
