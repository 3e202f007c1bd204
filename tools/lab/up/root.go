package up

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// prepareRoot makes containerd's root. Where the file system cannot carry the
// writable layer of an overlay, as another overlay cannot, a tmpfs is mounted
// there; the lab unmounts it at the end.
func prepareRoot(root string) error {
	if err := os.MkdirAll(root, 0o711); err != nil {
		return fmt.Errorf("make containerd's root: %w", err)
	}
	overlays := tryOverlay(filepath.Join(root, "try"))
	if overlays == nil {
		return nil
	}
	slog.Info("containerd's root gets a tmpfs", "root", root, "cause", overlays)
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "mode=0711"); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", root, err)
	}
	if err := tryOverlay(filepath.Join(root, "try")); err != nil {
		return fmt.Errorf("no overlay works below %s: %w", root, err)
	}
	return nil
}

// tryOverlay mounts an overlay in dir, writes to it and removes it.
func tryOverlay(dir string) (err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	merged := filepath.Join(dir, "merged")
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir)
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Unmount(merged, unix.MNT_DETACH)) }()
	return os.WriteFile(filepath.Join(merged, "file"), []byte("written"), 0o600)
}
