package podtest

import (
	"context"
	"slices"
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

// Pauses is a fake pod.Pauses: pids by pod. Calls: Pauses.Start, Pauses.PID,
// Pauses.Remove.
type Pauses struct {
	faults *Faults
	*things[int]
	last atomic.Int64
}

// Start is part of pod.Pauses.
func (p *Pauses) Start(ctx context.Context, of *pod.Pod) (pid int, err error) {
	err = p.faults.Do(ctx, "Pauses.Start", func() error {
		pid = int(1000 + p.last.Add(1))
		p.Put(of.ID, pid)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return pid, nil
}

// PID is part of pod.Pauses.
func (p *Pauses) PID(ctx context.Context, podID string) (pid int, err error) {
	err = p.faults.Do(ctx, "Pauses.PID", func() error {
		pid, _ = p.Get(podID)
		return nil
	})
	return pid, err
}

// Remove is part of pod.Pauses.
func (p *Pauses) Remove(ctx context.Context, podID string) error {
	return p.faults.Do(ctx, "Pauses.Remove", func() error {
		p.Drop(podID)
		return nil
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
