package network_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/trivet-cri/trivet/internal/config"
	netsyncv1 "github.com/trivet-cri/trivet/proto/netsync/v1"
	"github.com/trivet-cri/trivet/runtime/network"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = errors.New("netsync is away")

// netsync is a fake of the other side. Methods that no test calls are those of
// the nil client.
type netsync struct {
	netsyncv1.NetSyncClient
	err error // of all calls

	mu       sync.Mutex
	attached *netsyncv1.AttachRequest
	detached *netsyncv1.DetachRequest
	swept    *netsyncv1.SweepRequest
	cidrs    []string
	streams  int
	status   chan *netsyncv1.WatchStatusResponse // closed when the stream breaks
}

func (n *netsync) Attach(_ context.Context, r *netsyncv1.AttachRequest, _ ...grpc.CallOption) (*netsyncv1.AttachResponse, error) {
	n.attached = r
	return &netsyncv1.AttachResponse{Ips: []string{"10.0.0.2"}, ResultJson: "{}"}, n.err
}

func (n *netsync) Detach(_ context.Context, r *netsyncv1.DetachRequest, _ ...grpc.CallOption) (*netsyncv1.DetachResponse, error) {
	n.detached = r
	return &netsyncv1.DetachResponse{}, n.err
}

func (n *netsync) Sweep(_ context.Context, r *netsyncv1.SweepRequest, _ ...grpc.CallOption) (*netsyncv1.SweepResponse, error) {
	n.swept = r
	return &netsyncv1.SweepResponse{Removed: []string{"old"}}, n.err
}

func (n *netsync) SetPodCIDR(_ context.Context, r *netsyncv1.SetPodCIDRRequest, _ ...grpc.CallOption) (*netsyncv1.SetPodCIDRResponse, error) {
	n.cidrs = r.GetCidrs()
	return &netsyncv1.SetPodCIDRResponse{}, n.err
}

func (n *netsync) WatchStatus(ctx context.Context, _ *netsyncv1.WatchStatusRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[netsyncv1.WatchStatusResponse], error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.streams++
	if n.status == nil {
		return nil, errAway
	}
	return &stream{ctx: ctx, status: n.status}, nil
}

// serve begins to answer; the returned channel takes what is sent.
func (n *netsync) serve() chan<- *netsyncv1.WatchStatusResponse {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.status = make(chan *netsyncv1.WatchStatusResponse)
	return n.status
}

// leave ends the stream and answers no more.
func (n *netsync) leave() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.status)
	n.status = nil
}

type stream struct {
	grpc.ClientStream
	ctx    context.Context
	status <-chan *netsyncv1.WatchStatusResponse
}

func (s *stream) Recv() (*netsyncv1.WatchStatusResponse, error) {
	select {
	case one, ok := <-s.status:
		if !ok {
			return nil, io.EOF
		}
		return one, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

func newNetwork() (*network.Network, *netsync) {
	n := &netsync{}
	return network.New(n, config.Runtime{}, slog.New(slog.DiscardHandler)), n
}
