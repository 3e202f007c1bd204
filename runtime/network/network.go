// Package network is the runtime's side of netsync: it attaches pods, takes
// them off, and keeps the newest status of the node's network at hand.
//
// Status never waits: it is what netsync last sent over a stream that Run
// holds open. While there is no stream the network counts as not ready, with
// the reason.
package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/telemetry"
	netsyncv1 "github.com/trivet-cri/trivet/proto/netsync/v1"
)

// retryPause is the pause between two attempts to watch.
const retryPause = 200 * time.Millisecond

// unavailable is the reason while netsync is not heard of.
const unavailable = "NetSyncUnavailable"

// Network speaks to netsync. All methods may be called concurrently.
type Network struct {
	client netsyncv1.NetSyncClient
	log    *slog.Logger
	// closed: pods get none of the host ports that they ask for.
	closed bool
	status atomic.Pointer[netsyncv1.WatchStatusResponse]
}

// New returns a network that is not ready until Run hears from netsync. With
// disable_hostport_mapping, plugins are not asked for host ports.
func New(client netsyncv1.NetSyncClient, cfg config.Runtime, log *slog.Logger) *Network {
	n := &Network{client: client, closed: cfg.DisableHostPortMapping, log: log}
	n.setUnknown(errors.New("netsync has not answered yet"))
	return n
}

// Run keeps the status fresh until ctx ends.
func (n *Network) Run(ctx context.Context) error {
	for {
		err := n.watch(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if n.Status().GetReason() != unavailable || n.Status().GetMessage() != err.Error() {
			n.log.WarnContext(ctx, "network status is not known", "error", err)
		}
		n.setUnknown(err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryPause):
		}
	}
}

func (n *Network) watch(ctx context.Context) error {
	stream, err := n.client.WatchStatus(ctx, &netsyncv1.WatchStatusRequest{})
	if err != nil {
		return fmt.Errorf("watch netsync: %w", err)
	}
	for {
		status, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("watch netsync: %w", err)
		}
		if old := n.status.Swap(status); old.GetReady() != status.GetReady() || old.GetMessage() != status.GetMessage() {
			n.log.InfoContext(ctx, "network status changed", "ready", status.GetReady(), "reason", status.GetReason(), "message", status.GetMessage())
		}
	}
}

func (n *Network) setUnknown(why error) {
	n.status.Store(&netsyncv1.WatchStatusResponse{Reason: unavailable, Message: why.Error()})
}

// Status is the newest one. It must not be changed.
func (n *Network) Status() *netsyncv1.WatchStatusResponse { return n.status.Load() }

// Attachment is what a pod got from its networks.
type Attachment struct {
	IPs    []string // the first is the pod's primary address
	Result string   // the plugins' result as JSON
}

// Attach connects a pod's network namespace. confDir is the runtime handler's
// own CNI configuration directory, empty for the node's. Idempotent by id.
// Errors: those of netsync, and InvalidArgument with field and value.
func (n *Network) Attach(ctx context.Context, id string, config *runtimeapi.PodSandboxConfig, netns, confDir string) (Attachment, error) {
	request, err := attachRequest(id, config, netns, confDir)
	if err != nil {
		return Attachment{}, err
	}
	if n.closed {
		request.PortMappings = nil
	}
	var response *netsyncv1.AttachResponse
	err = telemetry.Span(ctx, "network.attach", func(ctx context.Context) error {
		response, err = n.client.Attach(ctx, request)
		return err
	})
	if err != nil {
		return Attachment{}, fmt.Errorf("attach pod to its network: %w", err)
	}
	return Attachment{IPs: response.GetIps(), Result: response.GetResultJson()}, nil
}

// Detach takes a pod off its networks. Idempotent.
func (n *Network) Detach(ctx context.Context, id string, config *runtimeapi.PodSandboxConfig) error {
	return telemetry.Span(ctx, "network.detach", func(ctx context.Context) error {
		if _, err := n.client.Detach(ctx, &netsyncv1.DetachRequest{Pod: identity(id, config)}); err != nil {
			return fmt.Errorf("take pod off its network: %w", err)
		}
		return nil
	})
}

// Sweep has every attachment removed that is of no pod in ids, which were
// all pods as of a time: later attachments are not touched.
func (n *Network) Sweep(ctx context.Context, ids []string, asOf time.Time) ([]string, error) {
	response, err := n.client.Sweep(ctx, &netsyncv1.SweepRequest{PodIds: ids, AsOf: timestamppb.New(asOf)})
	if err != nil {
		return nil, fmt.Errorf("sweep networks: %w", err)
	}
	return response.GetRemoved(), nil
}

// SetPodCIDR hands over the node's pod CIDRs. Errors: InvalidArgument.
func (n *Network) SetPodCIDR(ctx context.Context, cidrs []string) error {
	if _, err := n.client.SetPodCIDR(ctx, &netsyncv1.SetPodCIDRRequest{Cidrs: cidrs}); err != nil {
		return fmt.Errorf("set pod CIDRs %q: %w", cidrs, err)
	}
	return nil
}
