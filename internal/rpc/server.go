// Package rpc makes the gRPC servers and connections between Trivet's
// processes and towards the kubelet.
//
// What every RPC needs is here, once: tracing, metrics, the peer's uid, panics, the
// mapping of errors to codes and back, one log line for an error that
// nobody handles, and health.
package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/stats"
)

// maxMessage is the size limit of a message in bytes, as CRI-O has it: a
// list of ten thousand containers exceeds gRPC's own 4 MiB.
const maxMessage = 80 << 20

// handshakeLimit bounds how long a new connection may be silent. A stop waits
// for handshakes, and gRPC's own two minutes would outlast every deadline.
const handshakeLimit = 5 * time.Second

// streamWorkers is how many goroutines stay for calls: a new one grows its
// stack a few times, which is a good part of what a small call costs.
const streamWorkers = 16

// Server is a gRPC server with health that stops gracefully.
type Server struct {
	*grpc.Server
	// Health is SERVING from SetReady until the server begins to stop.
	Health *health.Server
	log    *slog.Logger
}

// NewServer returns a server. Register services, call SetReady, then Serve.
// Options come after its own, and count before them.
func NewServer(log *slog.Logger, options ...grpc.ServerOption) *Server {
	s := &Server{Health: health.NewServer(), log: log}
	s.Health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	own := []grpc.ServerOption{
		grpc.Creds(peerCredentials{}),
		grpc.ConnectionTimeout(handshakeLimit),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.StatsHandler(otelgrpc.NewServerHandler(otelgrpc.WithFilter(notHealth))),
		grpc.ChainUnaryInterceptor(countServed, s.unary),
		grpc.ChainStreamInterceptor(countServedStream, s.stream),
	}
	s.Server = grpc.NewServer(slices.Concat(own, servedWindow(), options)...)
	healthpb.RegisterHealthServer(s.Server, s.Health)
	return s
}

// SetReady makes health say SERVING.
func (s *Server) SetReady() {
	s.Health.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
}

// ServeUntil serves listener until ctx ends, then lets running calls finish
// for at most grace and cuts off the rest: their connections are closed and
// their contexts end. It closes the listener, and returns when every handler
// has returned.
func (s *Server) ServeUntil(ctx context.Context, listener net.Listener, grace time.Duration) error {
	served := make(chan struct{})
	var stopping sync.WaitGroup
	stopping.Go(func() {
		select {
		case <-ctx.Done():
			s.stopWithin(grace)
		case <-served:
			s.Stop() // serving failed, and what is connected would hang
		}
	})
	err := s.Serve(listener)
	close(served)
	stopping.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve %s: %w", listener.Addr(), err)
}

func (s *Server) stopWithin(grace time.Duration) {
	s.Health.Shutdown()
	var cut sync.WaitGroup
	cut.Add(1)
	timer := time.AfterFunc(grace, func() { defer cut.Done(); s.Stop() })
	s.GracefulStop()
	if timer.Stop() {
		cut.Done()
	}
	cut.Wait()
}

func notHealth(info *stats.RPCTagInfo) bool { return !isHealth(info.FullMethodName) }

func isHealth(method string) bool {
	return method == healthpb.Health_Check_FullMethodName || method == healthpb.Health_Watch_FullMethodName
}
