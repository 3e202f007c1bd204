package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// Binaries are the four programs and the package that each is built from.
var binaries = map[string]string{
	"trivet":          "./launcher",
	"trivet-runtime":  "./runtime",
	"trivet-streamer": "./streamer",
	"trivet-netsync":  "./netsync",
}

// Root is the directory of the repository, found from the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find repository: %w", err)
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(text, []byte("module github.com/trivet-cri/trivet\n")) {
			return dir, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("find repository: %w", err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find repository: no go.mod of Trivet in this directory or above it")
		}
		dir = parent
	}
}

// Build builds the four binaries into dir. TRIVET_BIN_DIR in the environment
// names a directory with binaries that are used instead, for example those
// of a release.
func Build(ctx context.Context, dir string) (string, error) {
	if ready := os.Getenv("TRIVET_BIN_DIR"); ready != "" {
		return filepath.Abs(ready)
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	for name, pkg := range binaries {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(dir, name), pkg)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	return dir, nil
}
