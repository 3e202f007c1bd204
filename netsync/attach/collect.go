package attach

import (
	"context"
	"errors"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/types"
)

// collect runs the CNI verb GC on every network that has it.
func (a *Attachments) collect(ctx context.Context, keep []string) {
	done := make(map[string]bool)
	for _, group := range a.configs.Snapshot().Groups {
		for _, n := range group.Networks {
			if done[string(n.Config)] {
				continue
			}
			done[string(n.Config)] = true
			err := a.collectOne(ctx, n.Name, n.Interface, n.Config, keep)
			if err != nil && !errors.Is(err, context.Canceled) {
				a.log.WarnContext(ctx, "garbage collection of a network", "network", n.Name, "error", err)
			}
		}
	}
}

func (a *Attachments) collectOne(ctx context.Context, name, iface string, config []byte, keep []string) error {
	ctx, cancel := context.WithTimeout(ctx, a.options.DetachTimeout)
	defer cancel()
	return a.gates.alone(ctx, name, func(ctx context.Context) error {
		// Listed inside the gate: nothing can be attached meanwhile.
		return a.collector.Collect(ctx, config, a.valid(name, iface, keep))
	})
}

// valid lists the attachments of a network: all in the ledger and, should the
// ledger have been lost, those of the pods that the runtime knows.
func (a *Attachments) valid(name, iface string, keep []string) []types.GCAttachment {
	var all []types.GCAttachment
	for _, id := range keep {
		if _, err := a.ledger.Get(id); !errdefs.IsNotFound(err) {
			continue
		}
		all = append(all, types.GCAttachment{ContainerID: id, IfName: iface})
	}
	for id := range a.ledger.Unreadable() {
		all = append(all, types.GCAttachment{ContainerID: id, IfName: iface})
	}
	for _, entry := range a.ledger.List() {
		for _, n := range entry.Networks {
			one := types.GCAttachment{ContainerID: entry.Pod.ID, IfName: n.Interface}
			if n.Name == name && !slices.Contains(all, one) {
				all = append(all, one)
			}
		}
	}
	return all
}
