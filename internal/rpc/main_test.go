package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/trivet-cri/trivet/internal/listen"
	"github.com/trivet-cri/trivet/internal/rpc"
	netsyncv1 "github.com/trivet-cri/trivet/proto/netsync/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service answers with whatever the test wants.
type service struct {
	netsyncv1.UnimplementedNetSyncServer
	attach func(context.Context) error
	watch  func(grpc.ServerStreamingServer[netsyncv1.WatchStatusResponse]) error
}

func (s *service) Attach(ctx context.Context, _ *netsyncv1.AttachRequest) (*netsyncv1.AttachResponse, error) {
	if err := s.attach(ctx); err != nil {
		return nil, err
	}
	return &netsyncv1.AttachResponse{}, nil
}

func (s *service) WatchStatus(_ *netsyncv1.WatchStatusRequest, stream grpc.ServerStreamingServer[netsyncv1.WatchStatusResponse]) error {
	return s.watch(stream)
}

// running is a server under test.
type running struct {
	path   string
	log    *journal
	stop   context.CancelFunc
	ended  chan error
	server *rpc.Server
}

// start serves s until the test ends or stop is called.
func start(t *testing.T, s *service, grace time.Duration) *running {
	t.Helper()
	r := prepare(t)
	r.serve(t, s, grace)
	return r
}

func prepare(t *testing.T) *running {
	t.Helper()
	return &running{path: filepath.Join(t.TempDir(), "s"), log: new(journal), ended: make(chan error, 1)}
}

func (r *running) serve(t *testing.T, s *service, grace time.Duration) {
	t.Helper()
	listener, err := listen.BindUnix(r.path)
	if err != nil {
		t.Fatal(err)
	}
	r.serveOn(t, listener, s, grace)
}

func (r *running) serveOn(t *testing.T, listener net.Listener, s *service, grace time.Duration) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	r.server = rpc.NewServer(slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	netsyncv1.RegisterNetSyncServer(r.server, s)
	r.server.SetReady()
	var served sync.WaitGroup
	served.Go(func() { r.ended <- r.server.ServeUntil(ctx, listener, grace) })
	t.Cleanup(func() { stop(); served.Wait() })
}

// end waits for the server's end and returns its error.
func (r *running) end(t *testing.T, limit time.Duration) error {
	t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(limit):
		return fmt.Errorf("still serving after %s", limit)
	}
}

func connect(t *testing.T, path string) *grpc.ClientConn {
	t.Helper()
	conn, err := rpc.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func attach(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	_, err := netsyncv1.NewNetSyncClient(conn).Attach(ctx, &netsyncv1.AttachRequest{})
	return err
}

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}
