package plugintest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/containernetworking/cni/pkg/version"

	"github.com/trivet-cri/trivet/netsync/plugin"
)

// Exec runs the plugin inside the test, in place of plugin.Exec.
type Exec struct {
	version.PluginDecoder
	// Names are the plugins that exist; nil for all.
	Names []string
}

// FindInPath finds the plugins in Names.
func (e *Exec) FindInPath(name string, paths []string) (string, error) {
	if e.Names != nil && !slices.Contains(e.Names, name) {
		return "", &plugin.Error{Plugin: name, Cause: fmt.Errorf("not found in %v: %w", paths, plugin.ErrMissing)}
	}
	return filepath.Join("/fake", name), nil
}

// ExecPlugin behaves as the plugin's process would.
func (e *Exec) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	env := variables(environ)
	if ctx.Err() != nil { // a process would not be started
		return nil, &plugin.Error{Plugin: filepath.Base(path), Command: env["CNI_COMMAND"], Cause: ctx.Err()}
	}
	out, err := behave(ctx, filepath.Base(path), env, stdin)
	if err == nil {
		return out, nil
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("cut off: %w", err)
	}
	return nil, &plugin.Error{Plugin: filepath.Base(path), Command: env["CNI_COMMAND"], Cause: err}
}
