package plugin

import (
	"context"
	"errors"
	"strings"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
)

// forgiving lets a DEL succeed whose plugin finds nothing to delete. It is
// below libcni, so that the other plugins of the network still run.
type forgiving struct{ invoke.Exec }

// ExecPlugin runs the plugin and forgives.
func (f forgiving) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	out, err := f.Exec.ExecPlugin(ctx, path, stdin, environ)
	if err != nil && variable(environ, "CNI_COMMAND") == "DEL" && gone(err, variable(environ, "CNI_NETNS")) {
		return nil, nil
	}
	return out, err
}

// gone tells whether DEL failed because there is nothing to delete. Plugins
// ought to succeed then; not all do, and an empty netns confuses some.
func gone(err error, netns string) bool {
	var own *types.Error
	if !errors.As(err, &own) {
		return false
	}
	return own.Code == types.ErrUnknownContainer ||
		strings.Contains(own.Msg, "not found") ||
		netns == "" && strings.Contains(own.Msg, "no such file or directory")
}

// variable is the value of name in an environment, the last one counts.
func variable(environ []string, name string) string {
	for i := len(environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(environ[i], name+"="); ok {
			return value
		}
	}
	return ""
}
