package rpc_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	"github.com/trivet-cri/trivet/internal/rpc"
	netsyncv1 "github.com/trivet-cri/trivet/proto/netsync/v1"
)

// TestMessageSizes: a server's options count before its own limits.
func TestMessageSizes(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("unix", t.TempDir()+"/s.sock")
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer(slog.New(slog.DiscardHandler), grpc.MaxRecvMsgSize(1<<10))
	netsyncv1.RegisterNetSyncServer(server, netsyncv1.UnimplementedNetSyncServer{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.ServeUntil(ctx, listener, time.Second) }()
	conn := connect(t, listener.Addr().String())
	for size, is := range map[int]func(error) bool{100: errdefs.IsNotImplemented, 2 << 10: errdefs.IsResourceExhausted} {
		request := &netsyncv1.AttachRequest{NetnsPath: strings.Repeat("x", size)}
		if _, err := netsyncv1.NewNetSyncClient(conn).Attach(t.Context(), request); !is(err) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
