package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/pelletier/go-toml/v2"
)

// hostDir returns the first directory of configPath, a list separated by
// colons, that says anything about the registry at host; empty if none does.
// containerd takes a single directory for a pull and looks in it for the same
// names. It ignores a hosts.toml that does not parse and would go on without
// the mirrors and CAs in it, so such a file is an error here.
func hostDir(configPath, host string) (string, error) {
	for _, root := range filepath.SplitList(configPath) {
		for _, name := range hostNames(host) {
			dir := filepath.Join(root, name)
			_, err := os.Stat(dir)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return "", fmt.Errorf("look for registry configuration: %w", err)
			}
			return root, checkHosts(filepath.Join(dir, "hosts.toml"))
		}
	}
	return "", nil
}

// hostNames are the names that the directory of a registry may have, in
// containerd's order.
func hostNames(host string) []string {
	names := []string{host, "_default"}
	if colon := strings.LastIndex(host, ":"); colon > 0 {
		names = append([]string{host[:colon] + "_" + host[colon+1:] + "_"}, names...)
	}
	return names
}

func checkHosts(file string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the directory has certificates only
	}
	if err != nil {
		return fmt.Errorf("read registry configuration: %w", err)
	}
	var parsed map[string]any
	err = toml.Unmarshal(text, &parsed)
	var syntax *toml.DecodeError
	if errors.As(err, &syntax) {
		row, _ := syntax.Position()
		return fmt.Errorf("registry configuration %s:%d: %w: %w", file, row, err, errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		return fmt.Errorf("registry configuration %s: %w: %w", file, err, errdefs.ErrFailedPrecondition)
	}
	return nil
}
