package operation

import (
	"context"
	"time"

	"github.com/trivet-cri/trivet/internal/ident"
)

// Attended runs work that ends with its caller: it is shown among the
// operations, nobody joins it, and when ctx ends so does the work's context.
// Unlike Do it returns only once work has, so that what must not outlive the
// call does not.
func Attended(ctx context.Context, o *Operations, what string, limit time.Duration, work func(context.Context) error) error {
	_, err := Do(context.WithoutCancel(ctx), o, ident.New(), what, limit, func(inner context.Context) (struct{}, error) {
		inner, cancel := context.WithCancelCause(inner)
		defer cancel(nil)
		defer context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })()
		return struct{}{}, work(inner)
	})
	return err
}
