package faulty_test

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness/faulty"
)

// server counts what reaches it.
type server struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	seen atomic.Int32
}

// Version answers.
func (s *server) Version(_ context.Context, req *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	s.seen.Add(1)
	if req.GetVersion() == "bad" {
		return nil, status.Error(codes.InvalidArgument, "version is bad")
	}
	return &runtimeapi.VersionResponse{RuntimeName: "echo " + req.GetVersion()}, nil
}

func start(t *testing.T) (*server, *faulty.Proxy, runtimeapi.RuntimeServiceClient) {
	t.Helper()
	dir := t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	real, service := grpc.NewServer(), &server{}
	runtimeapi.RegisterRuntimeServiceServer(real, service)
	go func() { _ = real.Serve(listener) }()
	t.Cleanup(real.Stop)
	proxy, err := faulty.Start(map[string]string{filepath.Join(dir, "p"): filepath.Join(dir, "s")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	conn, err := grpc.NewClient("unix://"+filepath.Join(dir, "p"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return service, proxy, runtimeapi.NewRuntimeServiceClient(conn)
}

func TestForwards(t *testing.T) {
	t.Parallel()
	_, proxy, client := start(t)
	long := strings.Repeat("x", 1<<20)
	reply, err := client.Version(t.Context(), &runtimeapi.VersionRequest{Version: long})
	if err != nil || reply.GetRuntimeName() != "echo "+long {
		t.Fatalf("%d bytes, error %v", len(reply.GetRuntimeName()), err)
	}
	if _, err = client.Version(t.Context(), &runtimeapi.VersionRequest{Version: "bad"}); status.Code(err) != codes.InvalidArgument {
		t.Fatalf("error is %v", err)
	}
	if calls, hit := proxy.Disarm(); len(calls) != 2 || hit || calls[0] != "/runtime.v1.RuntimeService/Version" {
		t.Fatalf("calls %v, hit %v", calls, hit)
	}
}

func TestFails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		mode faulty.Mode
		seen int32
	}{{faulty.Before, 1}, {faulty.After, 2}} {
		t.Run(test.mode.String(), func(t *testing.T) {
			t.Parallel()
			service, proxy, client := start(t)
			acted := 0
			proxy.Arm(1, test.mode, func() { acted++ })
			if _, err := client.Version(t.Context(), &runtimeapi.VersionRequest{}); err != nil {
				t.Fatalf("first call: %v", err)
			}
			_, err := client.Version(t.Context(), &runtimeapi.VersionRequest{})
			if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "fault "+test.mode.String()) {
				t.Fatalf("second call: %v", err)
			}
			if _, hit := proxy.Disarm(); !hit || acted != 1 || service.seen.Load() != test.seen {
				t.Fatalf("hit %v, acted %d times, the server saw %d calls", hit, acted, service.seen.Load())
			}
			if _, err := client.Version(t.Context(), &runtimeapi.VersionRequest{}); err != nil {
				t.Fatalf("third call: %v", err)
			}
		})
	}
}
