package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	netsyncv1 "github.com/trivet-cri/trivet/proto/netsync/v1"
)

func TestHandlersErrorReachesTheCallerAndTheLogOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err   error
		kind  error
		level string
	}{
		"invalid":        {fmt.Errorf("netns is empty: %w", errdefs.ErrInvalidArgument), errdefs.ErrInvalidArgument, "WARN"},
		"unknown":        {errors.New("boom"), errdefs.ErrUnknown, "WARN"},
		"quiet notfound": {fmt.Errorf("pod x: %w", errdefs.ErrNotFound), errdefs.ErrNotFound, "DEBUG"},
		"quiet cancel":   {context.Canceled, context.Canceled, "DEBUG"},
		"quiet missing":  {errdefs.ErrNotImplemented, errdefs.ErrNotImplemented, "DEBUG"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, &service{
				attach: func(context.Context) error { return c.err },
				watch: func(grpc.ServerStreamingServer[netsyncv1.WatchStatusResponse]) error {
					return c.err
				},
			}, time.Second)
			conn := connect(t, r.path)
			if err := attach(t.Context(), conn); !errors.Is(err, c.kind) || strings.TrimSuffix(err.Error(), ": unknown") != c.err.Error() {
				t.Errorf("call: %v, want %v", err, c.err)
			}
			stream, err := netsyncv1.NewNetSyncClient(conn).WatchStatus(t.Context(), &netsyncv1.WatchStatusRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			if !errors.Is(err, c.kind) {
				t.Errorf("stream: %v, want %v", err, c.err)
			}
			for _, method := range []string{"Attach", "WatchStatus"} {
				var lines []string
				for line := range strings.Lines(r.log.String()) {
					if strings.Contains(line, "method=/trivet.netsync.v1.NetSync/"+method) {
						lines = append(lines, line)
					}
				}
				if len(lines) != 1 || !strings.Contains(lines[0], "level="+c.level) {
					t.Errorf("log of %s: %q, want one line of level %s", method, lines, c.level)
				}
			}
		})
	}
}

func TestPanicEndsTheCallAlone(t *testing.T) {
	t.Parallel()
	calls := 0
	r := start(t, &service{
		attach: func(context.Context) error {
			if calls++; calls == 1 {
				panic("nil pod")
			}
			return nil
		},
		watch: func(grpc.ServerStreamingServer[netsyncv1.WatchStatusResponse]) error { panic("nil stream") },
	}, time.Second)
	conn := connect(t, r.path)
	if err := attach(t.Context(), conn); !errors.Is(err, errdefs.ErrInternal) || !strings.Contains(err.Error(), "Attach: internal error: nil pod") {
		t.Errorf("call: %v", err)
	}
	if err := attach(t.Context(), conn); err != nil {
		t.Errorf("the next call: %v", err)
	}
	stream, err := netsyncv1.NewNetSyncClient(conn).WatchStatus(t.Context(), &netsyncv1.WatchStatusRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if !errors.Is(err, errdefs.ErrInternal) || !strings.Contains(err.Error(), "nil stream") {
		t.Errorf("stream: %v", err)
	}
	if log := r.log.String(); strings.Count(log, "RPC panicked") != 2 || !strings.Contains(log, "calls_test.go") {
		t.Errorf("log lacks the panics with their stacks:\n%s", log)
	}
}

func TestStreamEndsWithEOF(t *testing.T) {
	t.Parallel()
	r := start(t, &service{watch: func(s grpc.ServerStreamingServer[netsyncv1.WatchStatusResponse]) error {
		return s.Send(&netsyncv1.WatchStatusResponse{})
	}}, time.Second)
	stream, err := netsyncv1.NewNetSyncClient(connect(t, r.path)).WatchStatus(t.Context(), &netsyncv1.WatchStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Errorf("message: %v", err)
	}
	if _, err := stream.Recv(); err != io.EOF { //nolint:errorlint // generated code compares so
		t.Errorf("end: %v", err)
	}
}

// Members start in any order: a call made before there is a server, or while
// it restarts, waits for it.
func TestCallWaitsForTheServer(t *testing.T) {
	t.Parallel()
	r := prepare(t)
	conn := connect(t, r.path)
	ok := &service{attach: func(context.Context) error { return nil }}
	for range 2 {
		called := make(chan error, 1)
		go func() { called <- attach(t.Context(), conn) }()
		select {
		case err := <-called:
			t.Fatalf("ended without a server: %v", err)
		case <-time.After(100 * time.Millisecond): // it waits, which is the point
		}
		r.serve(t, ok, time.Second)
		if err := <-called; err != nil {
			t.Errorf("call: %v", err)
		}
		r.stop()
		if err := r.end(t, 5*time.Second); err != nil {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := attach(ctx, conn); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call that nobody answers: %v", err)
	}
}

// caller makes the test binary a client with another uid.
const caller = "TRIVET_TEST_RPC_CALL"

func TestPeerOfAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	if path := os.Getenv(caller); path != "" {
		conn := connect(t, path)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := attach(ctx, conn); err == nil {
			t.Log("ANSWERED")
		}
		return
	}
	dir, err := os.MkdirTemp("/tmp", "trivet-rpc-") //nolint:usetesting // TempDir's is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &running{path: filepath.Join(dir, "s"), log: new(journal), ended: make(chan error, 1)}
	r.serve(t, &service{attach: func(context.Context) error { return nil }}, time.Second)
	// The file's mode would refuse the stranger already; open it up.
	for path, mode := range map[string]os.FileMode{dir: 0o755, r.path: 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "stranger")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	for uid, answered := range map[uint32]bool{65534: false, 0: true} {
		child := exec.CommandContext(t.Context(), program, "-test.run=^TestPeerOfAnotherUserIsRefused$", "-test.v")
		child.Env = []string{caller + "=" + r.path}
		child.Dir = dir
		child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := child.CombinedOutput()
		if err != nil || strings.Contains(string(out), "ANSWERED") != answered {
			t.Errorf("uid %d: %v\n%s", uid, err, out)
		}
	}
}

func TestPeerOnTCPIsRefused(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := prepare(t)
	r.serveOn(t, listener, &service{}, time.Second)
	c, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d bytes, error %v", n, err)
	}
}

func TestHealthFollowsTheServersLife(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	r := start(t, &service{attach: func(context.Context) error { close(entered); <-release; return nil }}, 10*time.Second)
	conn := connect(t, r.path)
	watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	next := func() healthpb.HealthCheckResponse_ServingStatus {
		t.Helper()
		got, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return got.GetStatus()
	}
	if got := next(); got != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("ready: %s", got)
	}
	called := make(chan error, 1)
	go func() { called <- attach(t.Context(), conn) }()
	<-entered
	r.stop()
	if got := next(); got != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("stopping: %s", got)
	}
	close(release)
	if err := <-called; err != nil {
		t.Errorf("the call under way: %v", err)
	}
}
