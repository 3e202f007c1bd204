package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/errdefs"
	securejoin "github.com/cyphar/filepath-securejoin"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
)

// hostPath is where the source of a mount is for containerd, below
// bind_mount_prefix and without links. It makes a directory of what is not
// there, unless that is to be rejected.
func hostPath(cfg config.Runtime, path string) (string, error) {
	source, err := find(cfg.BindMountPrefix, path)
	if errors.Is(err, fs.ErrNotExist) {
		if rejected(cfg, path) {
			return "", fmt.Errorf("%w, and is in runtime.absent_mount_sources_to_reject: %w", err, errdefs.ErrFailedPrecondition)
		}
		if err = os.MkdirAll(source, 0o755); err == nil {
			source, err = find(cfg.BindMountPrefix, path)
		}
	}
	for _, wrong := range []error{unix.ELOOP, unix.ENOTDIR, unix.EEXIST, unix.ENAMETOOLONG, unix.EINVAL} {
		if errors.Is(err, wrong) {
			return "", fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
		}
	}
	if err != nil && isLoop(path) {
		return "", fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	return source, err
}

// find follows links, those below a prefix as if that was the root. Of what
// is missing it returns where it would be.
func find(prefix, path string) (string, error) {
	if prefix == "" {
		source, err := filepath.EvalSymlinks(path)
		if err != nil {
			return path, err
		}
		return source, nil
	}
	source, err := securejoin.SecureJoin(prefix, path)
	if err != nil {
		return "", err
	}
	_, err = os.Lstat(source)
	return source, err
}

func rejected(cfg config.Runtime, path string) bool {
	return slices.ContainsFunc(cfg.AbsentMountSources, func(absent string) bool {
		return filepath.Clean(absent) == filepath.Clean(path)
	})
}

// isLoop tells whether the links of a path never end. EvalSymlinks says so in
// words only.
func isLoop(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, unix.ELOOP)
}
