package attach

import (
	"context"
	"errors"
	"slices"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/netsync/ledger"
	"github.com/trivet-cri/trivet/netsync/plugin"
)

// add runs ADD on all networks of the entry and returns their results in
// order. A network that fails does not cut the others off: a plugin that is
// left to finish is easier to undo than one that was killed.
func (a *Attachments) add(ctx context.Context, entry *ledger.Entry) ([]*types100.Result, error) {
	results := make([]*types100.Result, len(entry.Networks))
	var group errgroup.Group
	if a.options.Serially {
		group.SetLimit(1)
	}
	failed := make([]error, len(entry.Networks))
	for i, n := range entry.Networks {
		group.Go(func() error {
			if a.options.Serially && errors.Join(failed[:i]...) != nil {
				return nil // the pod has failed already
			}
			failed[i] = a.inside(ctx, n, func() error {
				var err error
				results[i], err = a.connector.Add(ctx, target(entry, n, entry.NetNS))
				return err
			})
			return nil
		})
	}
	_ = group.Wait()
	return results, first(failed)
}

// delete runs DEL on all networks of the entry, the last one first, each
// also when another has failed.
func (a *Attachments) delete(ctx context.Context, entry *ledger.Entry) error {
	netns := entry.NetNS
	if a.kernel.Gone(netns) {
		netns = "" // what a runtime says to plugins when there is none any more
	}
	var failed []error
	for _, n := range slices.Backward(entry.Networks) {
		failed = append(failed, a.inside(ctx, n, func() error {
			return a.connector.Delete(ctx, target(entry, n, netns))
		}))
	}
	return errors.Join(failed...)
}

// check runs CHECK on all networks of the entry.
func (a *Attachments) check(ctx context.Context, entry *ledger.Entry) error {
	for _, n := range entry.Networks {
		err := a.inside(ctx, n, func() error {
			return a.connector.Check(ctx, target(entry, n, entry.NetNS))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// inside runs fn while no garbage of the network is collected.
func (a *Attachments) inside(ctx context.Context, n ledger.Network, fn func() error) error {
	leave, err := a.gates.enter(ctx, n.Name)
	if err != nil {
		return err
	}
	defer leave()
	return fn()
}

func target(entry *ledger.Entry, n ledger.Network, netns string) plugin.Target {
	return plugin.Target{
		ContainerID: entry.Pod.ID, NetNS: netns, Interface: n.Interface, Config: n.Config,
		Args: entry.Args, Capabilities: entry.Capabilities,
		Attributes: telemetry.PodAttributes(entry.Pod.ID, entry.Pod.Namespace, entry.Pod.Name, entry.Pod.UID),
	}
}

// first is the first error in the order of the networks.
func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// podOf are a log line's attributes.
func podOf(p ledger.Pod) []any {
	return telemetry.PodFields(p.ID, p.Namespace, p.Name, p.UID)
}
