package users

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/containerd/errdefs"
	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// maxFile is the size from which a passwd or group file is refused. Real
// ones are far smaller; the bound keeps an image from filling the memory.
const maxFile = 10 << 20

// Read reads etc/passwd and etc/group below root, the root of an image.
// Links are followed as the container would follow them, so never out of
// root. Missing files are empty. A file that is not a regular one, or is too
// large, is ErrInvalidArgument; other errors are those of the file system.
func Read(root *os.Root) (*Database, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("open image root %q: %w", root.Name(), err)
	}
	defer func() { _ = dir.Close() }() // only read from
	passwd, err := readFile(dir, "etc/passwd")
	if err != nil {
		return nil, err
	}
	groups, err := readFile(dir, "etc/group")
	if err != nil {
		return nil, err
	}
	return Parse(passwd, groups), nil
}

// readFile reads a regular file below dir. It is opened as a mere handle
// first, so that a FIFO or a device in its place is neither waited for nor
// touched.
func readFile(dir *os.File, path string) (string, error) {
	handle, err := pathrs.OpenatInRoot(dir, path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("open image's %s: %w", path, err)
	}
	defer func() { _ = handle.Close() }() // only read from
	info, err := handle.Stat()
	if err != nil {
		return "", fmt.Errorf("stat image's %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("image's %s is not a regular file but %s: %w", path, info.Mode().Type(), errdefs.ErrInvalidArgument)
	}
	file, err := pathrs.Reopen(handle, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return "", fmt.Errorf("open image's %s: %w", path, err)
	}
	defer func() { _ = file.Close() }() // only read from
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return "", fmt.Errorf("read image's %s: %w", path, err)
	}
	if len(text) > maxFile {
		return "", fmt.Errorf("image's %s is larger than %d bytes: %w", path, maxFile, errdefs.ErrInvalidArgument)
	}
	return string(text), nil
}
