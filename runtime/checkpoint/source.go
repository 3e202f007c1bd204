package checkpoint

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Source is where a checkpoint is read from: an archive, plain or compressed,
// or a directory.
type Source struct {
	path string
	dir  bool
}

// maxEntries bounds how many entries of a source are looked at.
const maxEntries = 1 << 20

// Open returns the source at path, which must be a plain file or a directory:
// else it is errdefs.ErrInvalidArgument, or errdefs.ErrNotFound if nothing is
// there.
func Open(path string) (Source, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR):
		return Source{}, fmt.Errorf("checkpoint %.200q: %w", path, errdefs.ErrNotFound)
	case err != nil:
		return Source{}, fmt.Errorf("checkpoint %.200q: %w", path, err)
	case !info.IsDir() && !info.Mode().IsRegular():
		return Source{}, fmt.Errorf("checkpoint %.200q is neither a file nor a directory: %w", path, errdefs.ErrInvalidArgument)
	}
	return Source{path: path, dir: info.IsDir()}, nil
}

// visit is called with each file that belongs to a checkpoint.
type visit func(name string, content io.Reader) error

// each calls see with every file of the checkpoint, in no order; what is not
// part of one is passed over.
func (s Source) each(ctx context.Context, see visit) error {
	if s.dir {
		return s.eachFile(see)
	}
	// Without O_NONBLOCK a FIFO that took the file's place would be waited for.
	file, err := os.OpenFile(s.path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("read checkpoint: %w", err)
	}
	defer func() { _ = file.Close() }() // only read from
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("checkpoint %.200q is not a file: %w", s.path, errdefs.ErrInvalidArgument)
	}
	if err := eachEntry(ctx, file, see); err != nil {
		return fmt.Errorf("checkpoint %.200q: %w", s.path, err)
	}
	return nil
}

// eachEntry is each for the bytes of an archive.
func eachEntry(ctx context.Context, file io.Reader, see visit) error {
	plain, err := compression.DecompressStream(untilDone{ctx, file})
	if err != nil {
		return broken(ctx, err)
	}
	defer func() { _ = plain.Close() }() // only read from
	archive := tar.NewReader(plain)
	for range maxEntries {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return broken(ctx, err)
		}
		if !filepath.IsLocal(strings.TrimPrefix(header.Name, "./")) && header.Typeflag != tar.TypeDir {
			return fmt.Errorf("entry %.200q leads out of the archive: %w", header.Name, errdefs.ErrInvalidArgument)
		}
		name := path.Clean(header.Name)
		if !belongs(name) {
			continue
		}
		if header.Typeflag != tar.TypeReg {
			return fmt.Errorf("entry %.200q is not a plain file: %w", name, errdefs.ErrInvalidArgument)
		}
		if err := see(name, archive); err != nil {
			return err
		}
	}
	return fmt.Errorf("more than %d entries: %w", maxEntries, errdefs.ErrInvalidArgument)
}

// broken is the error of an archive that cannot be read.
func broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("not an archive, or damaged: %w: %w", err, errdefs.ErrInvalidArgument)
}

// belongs tells whether a clean name is that of a checkpoint's file.
func belongs(name string) bool {
	switch name {
	case ConfigFile, SpecFile, StatusFile, RootfsDiff, DeletedList:
		return true
	}
	dir, base := path.Split(name)
	return dir == ImagesDir+"/" && base != "" && base != RestoreLog && base != DumpLog
}

// eachFile is each for a directory. Links are not followed, and nothing
// outside of the directory is opened.
func (s Source) eachFile(see visit) error {
	root, err := os.OpenRoot(s.path)
	if err != nil {
		return fmt.Errorf("read checkpoint: %w", err)
	}
	defer func() { _ = root.Close() }() // only read from
	for _, dir := range []string{".", ImagesDir} {
		entries, err := fs.ReadDir(root.FS(), dir)
		if dir == ImagesDir && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read checkpoint %.200q: %w", s.path, err)
		}
		for _, entry := range entries {
			if name := path.Join(dir, entry.Name()); belongs(name) {
				if err := s.file(root, name, see); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s Source) file(root *os.Root, name string, see visit) error {
	info, err := root.Lstat(name)
	if err != nil {
		return fmt.Errorf("read checkpoint %.200q: %w", s.path, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("checkpoint %.200q: %.200q is not a plain file: %w", s.path, name, errdefs.ErrInvalidArgument)
	}
	file, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("read checkpoint %.200q: %w", s.path, err)
	}
	defer func() { _ = file.Close() }() // only read from
	if opened, err := file.Stat(); err != nil || !opened.Mode().IsRegular() {
		return fmt.Errorf("checkpoint %.200q: %.200q is not a plain file: %w", s.path, name, errdefs.ErrInvalidArgument)
	}
	return see(name, file)
}
