package crilog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// mode is what log collectors that run in the owner's group expect.
const mode = 0o640

// ID tells whether two names lead to the same file.
type ID struct{ Dev, Ino uint64 }

// File is a log that is open for appending. Not safe for concurrent use: a
// log has one writer.
type File struct {
	fd int
	id ID
}

// Open opens the log at path, creating it if it does not exist. Errors:
// ErrNotFound naming the directory if that does not exist, ErrInvalidArgument
// if path is something else than a regular file, a symbolic link included.
func Open(path string) (*File, error) { return open(path, unix.O_CREAT) }

// OpenExisting is Open for a file that must exist.
func OpenExisting(path string) (*File, error) { return open(path, 0) }

// Find opens the file with the given id: at path, or, when it has been renamed
// by a rotation, beside it. ErrNotFound if it is at neither place.
func Find(path string, id ID) (*File, error) {
	if f, err := open(path, 0); err == nil {
		if f.id == id {
			return f, nil
		}
		_ = f.Close() // only looked at
	}
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look for the rotated log of %q: %w", path, err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			continue // removed meanwhile
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok || (ID{stat.Dev, stat.Ino}) != id {
			continue
		}
		return open(filepath.Join(dir, entry.Name()), 0)
	}
	return nil, fmt.Errorf("rotated log of %q: %w", path, errdefs.ErrNotFound)
}

func open(path string, flags int) (*File, error) {
	// O_NONBLOCK: a FIFO in the log's place must not hang the open.
	flags |= unix.O_RDWR | unix.O_APPEND | unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NONBLOCK
	fd, err := ignoringEINTR(func() (int, error) { return unix.Open(path, flags, mode) })
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, fmt.Errorf("open log: directory %q: %w", filepath.Dir(path), errdefs.ErrNotFound)
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENOTDIR):
		return nil, fmt.Errorf("open log %q: %w: %w", path, err, errdefs.ErrInvalidArgument)
	case err != nil:
		return nil, fmt.Errorf("open log %q: %w", path, err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("stat log %q: %w", path, err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("log %q is not a regular file: %w", path, errdefs.ErrInvalidArgument)
	}
	return &File{fd: fd, id: ID{stat.Dev, stat.Ino}}, nil
}

// ID identifies the file, whatever its name is by now.
func (f *File) ID() ID { return f.id }

// Size returns the file's size in bytes and how many names it has.
func (f *File) Size() (size int64, names uint64, err error) {
	var stat unix.Stat_t
	if err := unix.Fstat(f.fd, &stat); err != nil {
		return 0, 0, fmt.Errorf("stat log: %w", err)
	}
	return stat.Size, stat.Nlink, nil
}

// Append writes records with one write(2). After an error the file may end in
// a part of them: Truncate it to its size before.
func (f *File) Append(records []byte) error {
	n, err := ignoringEINTR(func() (int, error) { return unix.Write(f.fd, records) })
	if err == nil && n < len(records) {
		// The disk is full, or a limit on the file's size is reached.
		err = unix.ENOSPC
	}
	if err != nil {
		return fmt.Errorf("append to log: %w", err)
	}
	return nil
}

// Truncate cuts the file to size bytes.
func (f *File) Truncate(size int64) error {
	_, err := ignoringEINTR(func() (int, error) { return 0, unix.Ftruncate(f.fd, size) })
	if err != nil {
		return fmt.Errorf("truncate log to %d bytes: %w", size, err)
	}
	return nil
}

// TrimRecord removes what follows the last newline at or after from: the torn
// end of an append whose input is gone.
func (f *File) TrimRecord(from int64) error {
	size, _, err := f.Size()
	if err != nil || size <= from {
		return err
	}
	tail := make([]byte, size-from)
	n, err := unix.Pread(f.fd, tail, from)
	if err != nil {
		return fmt.Errorf("read the log's end: %w", err)
	}
	return f.Truncate(from + int64(bytes.LastIndexByte(tail[:n], '\n')+1))
}

// Close closes the file.
func (f *File) Close() error {
	if err := unix.Close(f.fd); err != nil {
		return fmt.Errorf("close log: %w", err)
	}
	return nil
}

// ignoringEINTR repeats a call that a signal has interrupted.
func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
