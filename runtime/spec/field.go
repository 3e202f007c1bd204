package spec

import (
	"fmt"

	"github.com/containerd/errdefs"
)

// invalid is ErrInvalidArgument about a field of the request. Values come
// from clients, so a long one is cut.
func invalid(field string, value any, why string, args ...any) error {
	return fmt.Errorf("%s %s %s: %w", field, show(value), fmt.Sprintf(why, args...), errdefs.ErrInvalidArgument)
}

// unable is ErrFailedPrecondition: the request is fine, this machine is not.
func unable(field string, value any, why string, args ...any) error {
	return fmt.Errorf("%s %s %s: %w", field, show(value), fmt.Sprintf(why, args...), errdefs.ErrFailedPrecondition)
}

func show(value any) string {
	if text, ok := value.(string); ok {
		return fmt.Sprintf("%.200q", text)
	}
	return fmt.Sprintf("%v", value)
}
