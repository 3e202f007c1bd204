package podtest

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/network"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// Attached is an attachment in the fake netsync's ledger.
type Attached struct {
	Netns, ConfDir string
	Begun          time.Time
}

// Network is a fake pod.Network. Calls: Network.Attach, Network.Detach,
// Network.Sweep.
type Network struct {
	faults *Faults
	*things[Attached]
}

// Attach is part of pod.Network. The ledger's entry comes before the attempt,
// and stays when it fails, as netsync's may.
func (n *Network) Attach(ctx context.Context, id string, _ *runtimeapi.PodSandboxConfig, netns, confDir string) (network.Attachment, error) {
	n.Put(id, Attached{Netns: netns, ConfDir: confDir, Begun: time.Now()})
	err := n.faults.Do(ctx, "Network.Attach", func() error { return nil })
	if err != nil {
		return network.Attachment{}, err
	}
	return network.Attachment{IPs: []string{"10.88.0.2", "fd00::2"}, Result: `{"cniVersion":"1.1.0"}`}, nil
}

// Detach is part of pod.Network.
func (n *Network) Detach(ctx context.Context, id string, _ *runtimeapi.PodSandboxConfig) error {
	return n.faults.Do(ctx, "Network.Detach", func() error {
		n.Drop(id)
		return nil
	})
}

// Sweep is part of pod.Network.
func (n *Network) Sweep(ctx context.Context, ids []string, asOf time.Time) (removed []string, err error) {
	err = n.faults.Do(ctx, "Network.Sweep", func() error {
		for _, id := range n.IDs() {
			one, ok := n.Get(id)
			if ok && !slices.Contains(ids, id) && !one.Begun.After(asOf) {
				n.Drop(id)
				removed = append(removed, id)
			}
		}
		return nil
	})
	return removed, err
}

// Holders is a fake pod.Holder and pod.Sandboxes: pids by pod. Calls, for the
// name Pauses: Pauses.Start, Pauses.Look, Pauses.Wait, Pauses.Remove.
type Holders struct {
	Endpoint string // of sandboxes

	name   string
	faults *Faults
	*things[int]
	last atomic.Int64
	mu   sync.Mutex
	ends map[string]chan struct{}
}

// Start is part of pod.Holder.
func (h *Holders) Start(ctx context.Context, of *pod.Pod) (held pod.Held, err error) {
	err = h.faults.Do(ctx, h.name+".Start", func() error {
		held = pod.Held{PID: int(1000 + h.last.Add(1)), Endpoint: h.Endpoint}
		h.Put(of.ID, held.PID)
		return nil
	})
	if err != nil {
		return pod.Held{}, err
	}
	return held, nil
}

// Look is part of pod.Holder.
func (h *Holders) Look(ctx context.Context, podID string) (pid int, alive bool, err error) {
	err = h.faults.Do(ctx, h.name+".Look", func() error {
		pid, alive = h.Get(podID)
		return nil
	})
	return pid, alive, err
}

// Remove is part of pod.Holder.
func (h *Holders) Remove(ctx context.Context, podID string) error {
	return h.faults.Do(ctx, h.name+".Remove", func() error {
		h.End(podID)
		return nil
	})
}

// End plays the end of a pod's holder.
func (h *Holders) End(podID string) {
	h.Drop(podID)
	h.mu.Lock()
	defer h.mu.Unlock()
	if end, ok := h.ends[podID]; ok {
		close(end)
		delete(h.ends, podID)
	}
}

// Wait is part of pod.Sandboxes.
func (h *Holders) Wait(ctx context.Context, podID string) error {
	return h.faults.Do(ctx, h.name+".Wait", func() error {
		h.mu.Lock()
		if h.ends[podID] == nil {
			h.ends[podID] = make(chan struct{})
		}
		end := h.ends[podID]
		h.mu.Unlock()
		if _, lives := h.Get(podID); !lives {
			return nil
		}
		select {
		case <-end:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

// Handlers is a fake of runtime handlers that can do everything, but for those
// that a test says otherwise of.
type Handlers map[string]spec.Features

// Features is part of pod.Handlers.
func (h Handlers) Features(_ context.Context, name string) (spec.Features, error) {
	if features, ok := h[name]; ok {
		return features, nil
	}
	return spec.Features{RecursiveReadOnly: true, UserNamespaces: true, IDMappedMounts: true}, nil
}
