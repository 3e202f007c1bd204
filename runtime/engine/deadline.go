package engine

import (
	"context"
	"time"

	"google.golang.org/grpc"
)

// unbounded are the calls that take as long as what they wait for.
var unbounded = map[string]bool{
	"/containerd.services.transfer.v1.Transfer/Transfer": true, // a registry; image has a watchdog
	"/containerd.services.diff.v1.Diff/Apply":            true, // unpacks a layer of any size
	"/containerd.services.sandbox.v1.Controller/Wait":    true, // as long as the sandbox lives
}

// deadline gives calls whose context has no deadline one.
func deadline(limit time.Duration) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if _, has := ctx.Deadline(); !has && !unbounded[method] {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, limit)
			defer cancel()
		}
		return invoke(ctx, method, req, reply, conn, opts...)
	}
}
