package checkpoint

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/trivet-cri/trivet/internal/ident"
)

// Partial is the name under which Pack writes before the archive is whole. It
// is new with each call.
func Partial(location string) string {
	return filepath.Join(filepath.Dir(location), "."+filepath.Base(location)+"."+ident.New()[:12]+".partial")
}

// Pack writes the files in dir as an archive of mode 0600 at location: under
// the name partial, in the same directory, which is renamed when all is on the
// disk. On failure neither is there, but for an older archive at location.
func Pack(ctx context.Context, dir, location, partial string) (err error) {
	file, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write checkpoint %s: %w", location, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write checkpoint %s: %w", location, err), ignoreMissing(os.Remove(partial)))
		}
	}()
	archive := tar.NewWriter(file)
	err = addAll(ctx, archive, dir)
	if err == nil {
		err = archive.Close()
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(partial, location)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// first are the files that readers look for first: in front, they need not
// read the whole archive for them.
var first = []string{ConfigFile, SpecFile, StatusFile}

func addAll(ctx context.Context, archive *tar.Writer, dir string) error {
	done := make(map[string]bool)
	for _, name := range first {
		if err := add(ctx, archive, dir, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		done[name] = true
	}
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == "." || done[name] {
			return err
		}
		// CRIU leaves a link to a parent's images; nothing but files is content.
		if !entry.Type().IsRegular() && !entry.IsDir() {
			return nil
		}
		return add(ctx, archive, dir, name)
	})
}

// add puts one file or directory into the archive.
func add(ctx context.Context, archive *tar.Writer, dir, name string) error {
	file, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read from
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return err
	}
	header.Name, header.Uname, header.Gname = name, "", ""
	if info.IsDir() {
		header.Name += "/"
		return archive.WriteHeader(header)
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, untilDone{ctx, file})
	return err
}

// untilDone is a reader that ends with its context.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}
