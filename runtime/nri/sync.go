package nri

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"

	"github.com/trivet-cri/trivet/internal/telemetry"
)

// synchronize tells a plugin that registers of what exists. No hook runs
// meanwhile. What the plugin wants changed is done afterwards: a hung shim would
// hold up all hooks.
func (p *Plugins) synchronize(ctx context.Context, tell adaptation.SyncCB) error {
	pods, containers := p.told.everything()
	podMessages := make([]*api.PodSandbox, len(pods))
	for i, one := range pods {
		podMessages[i] = podMessage(one)
	}
	specs, cancel := context.WithTimeout(ctx, specLimit) // for all of them
	defer cancel()
	containerMessages := make([]*api.Container, len(containers))
	for i, c := range containers {
		containerMessages[i] = containerMessage(c, p.specOf(specs, c))
	}
	updates, err := tell(ctx, podMessages, containerMessages)
	if err != nil {
		return err
	}
	p.Log.InfoContext(ctx, "NRI plugins are synchronized", "pods", len(pods), "containers", len(containers), "updates", len(updates))
	if len(updates) > 0 {
		p.background(func() { _, _ = p.apply(ctx, updates) })
	}
	return nil
}

// update carries out what a plugin wants unasked, and returns what could not
// be done.
func (p *Plugins) update(ctx context.Context, updates []*api.ContainerUpdate) ([]*api.ContainerUpdate, error) {
	return p.apply(ctx, updates)
}

// apply changes containers as plugins want it, without asking plugins. It
// returns the updates that have failed, and their errors, but for those that
// plugins do not care about; all are logged.
func (p *Plugins) apply(ctx context.Context, updates []*api.ContainerUpdate) (failed []*api.ContainerUpdate, _ error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), updateLimit)
	defer cancel()
	var errs []error
	for _, u := range updates {
		err := p.applyOne(ctx, u)
		if err == nil {
			continue
		}
		p.Log.WarnContext(ctx, "NRI plugin's update of a container has failed", telemetry.ContainerID, u.GetContainerId(), "error", err)
		if !u.GetIgnoreFailure() {
			failed, errs = append(failed, u), append(errs, err)
		}
	}
	return failed, errors.Join(errs...)
}

func (p *Plugins) applyOne(ctx context.Context, u *api.ContainerUpdate) error {
	c, ok := p.containers.All()[u.GetContainerId()]
	if !ok {
		return fmt.Errorf("container %.80q: %w", u.GetContainerId(), errdefs.ErrNotFound)
	}
	return p.containers.Adjust(ctx, c, toCRI(nil, u.GetLinux().GetResources()))
}

// evict kills containers that plugins want to be gone.
func (p *Plugins) evict(ctx context.Context, evictions []*api.ContainerEviction) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), updateLimit)
	defer cancel()
	for _, e := range evictions {
		c, ok := p.containers.All()[e.GetContainerId()]
		if !ok {
			continue
		}
		p.Log.InfoContext(ctx, "NRI plugin evicts a container", telemetry.ContainerID, c.ID, "reason", e.GetReason())
		if err := p.containers.Stop(ctx, c, 0); err != nil {
			p.Log.WarnContext(ctx, "container is not evicted", telemetry.ContainerID, c.ID, "error", err)
		}
	}
}
