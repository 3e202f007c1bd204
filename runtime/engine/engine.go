// Package engine is the runtime's one door to containerd: records of pods and
// containers, tasks, snapshots, images and events.
//
//	pod ─┐                       ┌─ sandbox store (records of pods)
//	container ─┼─▶ Engine ─▶ gRPC ┼─ container store, tasks, events
//	image ─┘                     └─ images, content, snapshots, transfer
//
// It translates and decides nothing. Errors carry errdefs kinds. Every call has
// a deadline: the caller's, or else the configured one, but for those calls
// that last as long as something in a container or a registry does. A call
// made while containerd is away fails with errdefs.ErrUnavailable.
package engine

import (
	"context"
	"fmt"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/rpc"
)

// Engine is a connection to one namespace of one containerd. Its methods may
// be called concurrently.
type Engine struct {
	client *containerd.Client
	socket string
	state  string // containerd's state directory
	// namespace is the one of containerd's in which all is.
	namespace string
}

// Connect waits until containerd answers on its socket, for at most
// cfg.ConnectTimeout. state is containerd's state directory.
func Connect(ctx context.Context, cfg config.Containerd, state string) (*Engine, error) {
	client, err := containerd.New(cfg.Socket,
		containerd.WithDefaultNamespace(cfg.Namespace),
		containerd.WithTimeout(time.Second),
		containerd.WithExtraDialOpts(append(rpc.Window(),
			grpc.WithStatsHandler(otelgrpc.NewClientHandler(otelgrpc.WithFilter(worthASpan))),
			grpc.WithChainUnaryInterceptor(deadline(cfg.RequestTimeout.Std()), rpc.CountCall),
		)),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to containerd at %s: %w", cfg.Socket, err)
	}
	e := &Engine{client: client, socket: cfg.Socket, state: state, namespace: cfg.Namespace}
	ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout.Std())
	defer cancel()
	for {
		err := e.Check(ctx)
		if err == nil {
			return e, nil
		}
		select {
		case <-ctx.Done():
			_ = client.Close() // nothing was done with it
			return nil, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Client is the library's client, for packages of tests.
func (e *Engine) Client() *containerd.Client { return e.client }

// Close ends the connection; calls under way fail.
func (e *Engine) Close() error {
	if err := e.client.Close(); err != nil {
		return fmt.Errorf("close connection to containerd: %w", err)
	}
	return nil
}

// Check returns an error that names the socket unless containerd answers.
func (e *Engine) Check(ctx context.Context) error {
	if _, err := e.client.VersionService().Version(ctx, &emptypb.Empty{}); err != nil {
		return fmt.Errorf("containerd at %s does not answer: %w", e.socket, errgrpc.ToNative(err))
	}
	return nil
}

// Version is containerd's version.
func (e *Engine) Version(ctx context.Context) (string, error) {
	version, err := e.client.Version(ctx)
	if err != nil {
		return "", fmt.Errorf("ask containerd for its version: %w", err)
	}
	return version.Version, nil
}

// worthASpan leaves out what is polled, and streams that never end.
func worthASpan(info *stats.RPCTagInfo) bool {
	switch info.FullMethodName {
	case "/containerd.services.version.v1.Version/Version", "/containerd.services.events.v1.Events/Subscribe":
		return false
	}
	return true
}
