package rpc

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// callBuckets are in seconds: from what is answered from memory to a pull.
var callBuckets = []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}

// The process's calls. They are the process's as the tracer provider is.
var (
	served = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "trivet_grpc_server_call_duration_seconds", Buckets: callBuckets,
		Help: "Calls that this process has answered, by method and gRPC code; health checks are not counted.",
	}, []string{"method", "code"})
	made = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "trivet_grpc_client_call_duration_seconds", Buckets: callBuckets,
		Help: "Calls that this process has made, by method and gRPC code, with the wait for a connection; streams and health checks are not counted.",
	}, []string{"method", "code"})
)

// Calls are the metrics of the calls that the process answers and makes.
func Calls() []prometheus.Collector { return []prometheus.Collector{served, made} }

// observe counts a call that began at begun. err is a status error or nil.
func observe(calls *prometheus.HistogramVec, method string, begun time.Time, err error) {
	if isHealth(method) {
		return
	}
	calls.WithLabelValues(strings.TrimPrefix(method, "/"), status.Code(err).String()).Observe(time.Since(begun).Seconds())
}

// CountCall is the interceptor that counts a client's calls. Dial has it; a
// connection that is made otherwise needs it innermost.
func CountCall(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	begun := time.Now()
	err := invoke(ctx, method, req, reply, cc, opts...)
	observe(made, method, begun, err)
	return err
}

func countServed(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	begun := time.Now()
	reply, err := handler(ctx, req)
	observe(served, info.FullMethod, begun, err)
	return reply, err
}

func countServedStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	begun := time.Now()
	err := handler(srv, stream)
	observe(served, info.FullMethod, begun, err)
	return err
}
