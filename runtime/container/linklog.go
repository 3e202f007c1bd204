package container

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/trivet-cri/trivet/internal/undo"
	"github.com/trivet-cri/trivet/runtime/pod"
)

// linkLog makes a link by which programs of a pod that shows its logs find the
// container's by its id. It is relative, so that it holds on either side.
func linkLog(made *undo.Stack, p *pod.Pod, c *Container) error {
	if p.Files.Logs == "" || c.LogPath == "" {
		return nil
	}
	made.Add("link to the log", func(context.Context) error { return c.unlinkLog() })
	return os.Symlink(filepath.Clean(c.Config.GetLogPath()), c.logLink())
}

// unlinkLog removes the link, if there is one.
func (c *Container) unlinkLog() error {
	if c.LogPath == "" {
		return nil
	}
	link := c.logLink()
	if target, err := os.Readlink(link); err != nil || target != filepath.Clean(c.Config.GetLogPath()) {
		return nil //nolint:nilerr // it is none of ours
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// logLink is the link's path in the pod's log directory.
func (c *Container) logLink() string {
	return filepath.Join(strings.TrimSuffix(c.LogPath, filepath.Clean(c.Config.GetLogPath())), c.ID+".log")
}
