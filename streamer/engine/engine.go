// Package engine is the streamer's way to containerd: processes beside a
// container's own, and its terminal.
//
//	exec, start, wait, delete ──▶ the container's shim, or else containerd ──▶ shim
//	container's record ─────────▶ containerd
//
// It uses the raw task and container services, because an exec is short and
// each round trip shows. Nothing waits for containerd at start: a call made
// while containerd is away fails with errdefs.ErrUnavailable and names the
// socket, and the next one works as soon as containerd is back.
package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/trivet-cri/trivet/internal/rpc"
)

const (
	// maxMessage is containerd's own limit of a message in bytes.
	maxMessage = 16 << 20
	// waitMethod is the one call that lasts as long as a process runs.
	waitMethod = "/containerd.services.tasks.v1.Tasks/Wait"
)

// Engine talks to one containerd, in one of its namespaces. It is safe for
// concurrent use.
type Engine struct {
	socket     string
	state      string
	namespace  string
	timeout    time.Duration
	conn       *grpc.ClientConn
	containers containersapi.ContainersClient
	tasks      tasksapi.TasksClient
	templates  templates
	shims      shims
}

// New returns an engine for the containerd at socket, whose state directory is
// state. timeout is the deadline of a call whose context has none. It does not
// connect; Close it.
func New(socket, state, namespace string, timeout time.Duration) (*Engine, error) {
	e := &Engine{socket: socket, state: state, namespace: namespace, timeout: timeout}
	conn, err := grpc.NewClient("unix://"+socket, append(rpc.Window(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler()),
		grpc.WithChainUnaryInterceptor(e.call, rpc.CountCall),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
	)...)
	if err != nil {
		return nil, fmt.Errorf("connect to containerd at %s: %w", socket, err)
	}
	e.conn = conn
	e.containers = containersapi.NewContainersClient(conn)
	e.tasks = tasksapi.NewTasksClient(conn)
	return e, nil
}

// Close ends the connections; calls under way fail.
func (e *Engine) Close() error {
	e.shims.close()
	return e.conn.Close()
}

// call puts every call into the namespace, gives it a deadline and maps its
// error to an errdefs kind.
func (e *Engine) call(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx = metadata.AppendToOutgoingContext(ctx, "containerd-namespace", e.namespace)
	if _, ok := ctx.Deadline(); !ok && method != waitMethod {
		limited, cancel := context.WithTimeout(ctx, e.timeout)
		defer cancel()
		ctx = limited
	}
	err := errgrpc.ToNative(invoke(ctx, method, req, reply, cc, opts...))
	if errdefs.IsUnavailable(err) {
		return fmt.Errorf("containerd at %s: %w", e.socket, err)
	}
	return err
}

// awaitBack makes a call about a process again as long as who is asked cannot be
// reached. A process belongs to a shim, which outlives a restart of containerd;
// whether a shim is gone that was asked itself, containerd knows. It gives up
// with ctx, or when containerd stays away.
func (e *Engine) awaitBack(ctx context.Context, p Process, call func(service) error) error {
	const patience, pause = 2 * time.Minute, 200 * time.Millisecond
	var away time.Time // since when every call has failed at once
	for {
		begun := time.Now()
		err := call(e.service(p))
		if errors.Is(err, errShimGone) {
			e.shims.drop(p, false)
		}
		if !errdefs.IsUnavailable(err) {
			return err
		}
		if away.IsZero() || time.Since(begun) > time.Second {
			away = time.Now()
		}
		if time.Since(away) > patience {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}
