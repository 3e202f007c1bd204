package plugin

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/types"
)

// ErrMissing is the kind of a plugin whose program is not there: it may be
// installed at any time.
var ErrMissing = errdefs.ErrUnavailable

// Error is the failure of one plugin run. errors.Is finds its kind:
// ErrUnavailable when the plugin is missing or says that it is not ready,
// context.DeadlineExceeded or context.Canceled when it was cut off.
type Error struct {
	// Plugin is the plugin's type.
	Plugin string
	// Command is the CNI verb; empty when the plugin was not found.
	Command string
	// Cause is the plugin's own error (a *types.Error), or why it could
	// not run to its end.
	Cause error
}

// Error names the plugin and the verb.
func (e *Error) Error() string {
	if e.Command == "" {
		return fmt.Sprintf("plugin %q: %v", e.Plugin, e.Cause)
	}
	return fmt.Sprintf("plugin %q: %s: %v", e.Plugin, e.Command, e.Cause)
}

// Unwrap gives the cause and, where there is one, its kind.
func (e *Error) Unwrap() []error {
	var own *types.Error
	if !errors.As(e.Cause, &own) {
		return []error{e.Cause}
	}
	switch own.Code {
	case types.ErrTryAgainLater, types.ErrPluginNotAvailable, types.ErrLimitedConnectivity:
		return []error{e.Cause, errdefs.ErrUnavailable}
	}
	return []error{e.Cause}
}

// explain leaves out what libcni puts around an Error and names the network.
func explain(network string, err error) error {
	if err == nil {
		return nil
	}
	var own *Error
	if errors.As(err, &own) {
		err = own
	}
	return fmt.Errorf("network %q: %w", network, err)
}
