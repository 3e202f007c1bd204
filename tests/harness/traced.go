package harness

import (
	"context"

	"google.golang.org/grpc/metadata"
)

// Traced returns a context whose calls carry a sampled W3C trace context, as
// a kubelet's do, and the id of the trace.
func Traced(ctx context.Context) (context.Context, string) {
	id := Unique()
	return metadata.AppendToOutgoingContext(ctx, "traceparent", "00-"+id+"-"+Unique()[:16]+"-01"), id
}
