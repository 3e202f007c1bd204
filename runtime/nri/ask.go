package nri

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"

	"github.com/trivet-cri/trivet/internal/telemetry"
)

// Registered are the plugins that take part, sorted.
func (p *Plugins) Registered() []string { return p.peers.registered() }

// Missing are the required plugins that do not; as long as there is one,
// nothing is created.
func (p *Plugins) Missing() []string {
	var missing []string
	registered := p.peers.registered()
	for _, name := range p.Config.RequiredPlugins {
		if !slices.ContainsFunc(registered, func(plugin string) bool { return matches(name, plugin) }) {
			missing = append(missing, name)
		}
	}
	return missing
}

// required tells whether a plugin is.
func (p *Plugins) required(plugin string) bool {
	return slices.ContainsFunc(p.Config.RequiredPlugins, func(name string) bool { return matches(name, plugin) })
}

// Admit refuses what would create something while a required plugin is
// missing: errdefs.ErrUnavailable.
func (p *Plugins) Admit(ctx context.Context) error {
	if err := p.await(ctx); err != nil {
		return err
	}
	if missing := p.Missing(); len(missing) > 0 {
		return fmt.Errorf("required NRI plugins are not registered: %s: %w", strings.Join(missing, ", "), errdefs.ErrUnavailable)
	}
	return nil
}

// await waits until plugins of plugin_path have had their chance.
func (p *Plugins) await(ctx context.Context) error {
	select {
	case <-p.begun:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for NRI: %w", context.Cause(ctx))
	}
}

// ask is a hook that plugins may refuse and that required plugins must answer.
// call makes it; what plugins are told of is entered in the same turn, so that
// one that registers meanwhile hears of it once. Errors: ErrUnavailable,
// ErrFailedPrecondition with a plugin's own words.
func (p *Plugins) ask(ctx context.Context, event api.Event, call hook) error {
	return telemetry.Span(ctx, "nri "+event.PrettyName(), func(ctx context.Context) error {
		if err := p.Admit(ctx); err != nil {
			return err
		}
		by := newCalls(p.Config.PluginRequestTimeout.Std(), false)
		err := p.hook(ctx, by, call)
		if err != nil {
			return fmt.Errorf("NRI plugin: %w: %w", err, errdefs.ErrFailedPrecondition)
		}
		for _, name := range p.Config.RequiredPlugins {
			if !p.peers.called(name, event, by) {
				return fmt.Errorf("required NRI plugin %s has not answered %s: %w", name, event.PrettyName(), errdefs.ErrUnavailable)
			}
		}
		p.evict(ctx, by.evictions())
		return nil
	})
}

// hook is one call of the library, which is nil when it could not be started.
type hook func(ctx context.Context, library *adaptation.Adaptation) error

// hook makes one call, alone. How long the plugins may take for it is theirs:
// the client's deadline must not be what a plugin is dropped for.
func (p *Plugins) hook(ctx context.Context, by *calls, call hook) error {
	if err := p.await(ctx); err != nil {
		return err
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return fmt.Errorf("wait for earlier NRI hooks: %w", context.Cause(ctx))
	}
	p.mu.Lock()
	library := p.nri
	p.mu.Unlock()
	if library != nil {
		// A plugin that registers is synchronized before the call or after it.
		defer library.BlockPluginSync().Unblock()
	}
	return call(context.WithValue(context.WithoutCancel(ctx), callsKey{}, by), library)
}
