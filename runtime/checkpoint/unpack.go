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

	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// maxDocument bounds a JSON document of a checkpoint, in bytes.
const maxDocument = 16 << 20

// Unpack copies the checkpoint in source into dir, which it makes with mode
// 0700. rootfs-diff.tar is there without compression. What is no whole
// checkpoint is errdefs.ErrInvalidArgument; one that would fill the disk is
// errdefs.ErrResourceExhausted. On failure dir is not there.
func Unpack(ctx context.Context, source Source, dir string) (err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("unpack checkpoint: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if err := os.Mkdir(filepath.Join(dir, ImagesDir), 0o700); err != nil {
		return fmt.Errorf("unpack checkpoint: %w", err)
	}
	left, err := spare(dir)
	if err != nil {
		return err
	}
	err = source.each(ctx, func(name string, content io.Reader) error {
		used, err := keep(untilDone{ctx, content}, dir, name, left)
		left -= used
		return err
	})
	if err != nil {
		return err
	}
	for _, name := range []string{ConfigFile, SpecFile, filepath.Join(ImagesDir, inventory)} {
		if _, err := os.Lstat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%.200q is not a checkpoint: it has no %s: %w", source.path, name, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// reserve is the part of the free space that is not filled.
const reserve = 20

// spare is how many bytes the file system of dir may take.
func spare(dir string) (int64, error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return 0, fmt.Errorf("unpack checkpoint: free space of %s: %w", dir, err)
	}
	free := int64(disk.Bavail) * disk.Bsize
	return free - free/reserve, nil
}

// keep writes one file and tells how many bytes it takes.
func keep(content io.Reader, dir, name string, left int64) (int64, error) {
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return 0, fmt.Errorf("checkpoint has %.200q twice: %w", name, errdefs.ErrInvalidArgument)
	}
	if err != nil {
		return 0, fmt.Errorf("unpack checkpoint: %.200q: %w", name, err)
	}
	var used int64
	switch name {
	case RootfsDiff:
		used, err = keepDiff(file, content, left)
	case ConfigFile, SpecFile, StatusFile, DeletedList:
		used, err = limited(file, content, min(left, maxDocument))
	default:
		used, err = limited(file, content, left)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return used, fmt.Errorf("unpack checkpoint: %.200q: %w", name, err)
	}
	return used, nil
}

// limited copies at most limit bytes; more is an error.
func limited(to io.Writer, from io.Reader, limit int64) (int64, error) {
	n, err := io.Copy(to, io.LimitReader(from, limit+1))
	if err == nil && n > limit {
		err = tooLarge(limit)
	}
	return n, err
}

func tooLarge(limit int64) error {
	return fmt.Errorf("more than the %d bytes that there is room for: %w", max(limit, 0), errdefs.ErrResourceExhausted)
}

// keepDiff writes the archive in content without its compression. Both its
// bytes and what it would unpack to must be within limit: sparse entries say
// more than they take.
func keepDiff(to io.Writer, content io.Reader, limit int64) (int64, error) {
	plain, err := compression.DecompressStream(content)
	if err != nil {
		return 0, fmt.Errorf("not an archive, or damaged: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	defer func() { _ = plain.Close() }() // only read from
	counted := &counter{r: plain, limit: limit}
	copied := io.TeeReader(counted, to)
	archive := tar.NewReader(copied)
	var unpacked int64
	for range maxEntries {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, copied) // what follows the end
			return counted.n, err
		}
		if errdefs.IsResourceExhausted(err) {
			return counted.n, err
		}
		if err != nil {
			return counted.n, fmt.Errorf("not an archive, or damaged: %w: %w", err, errdefs.ErrInvalidArgument)
		}
		if unpacked += header.Size; unpacked > limit || unpacked < 0 {
			return counted.n, tooLarge(limit)
		}
	}
	return counted.n, fmt.Errorf("more than %d entries: %w", maxEntries, errdefs.ErrInvalidArgument)
}

// counter counts what is read and ends it beyond a limit.
type counter struct {
	r        io.Reader
	n, limit int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.n += int64(n); c.n > c.limit {
		return n, tooLarge(c.limit)
	}
	return n, err
}
