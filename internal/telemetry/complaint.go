package telemetry

import (
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
)

// complaintPause is the least time between two lines about the same trouble:
// a collector that is away fails every batch.
const complaintPause = time.Minute

// complainTo sends the errors of the OpenTelemetry library, which would go
// to standard error in a form of its own, to log.
func complainTo(log *slog.Logger) {
	var next atomic.Int64 // Unix nanoseconds
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		now := time.Now()
		due := next.Load()
		if now.UnixNano() < due || !next.CompareAndSwap(due, now.Add(complaintPause).UnixNano()) {
			return
		}
		log.Warn("traces are not exported", "error", err.Error())
	}))
}
