// Package plugin runs CNI plugins: the only package that does.
//
// A Runner speaks the verbs of the CNI specification through libcni; an Exec
// below it starts the programs. Nothing here holds a lock while a program
// runs. Every call ends with its context, and every error names the network
// and the plugin.
package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"go.opentelemetry.io/otel/attribute"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/netsync/network"
)

// Target is one pod's connection to one network.
type Target struct {
	// ContainerID is the pod's id.
	ContainerID string
	// Network is the network's name; only Remembered sets it.
	Network string
	// NetNS is the path of the network namespace, empty if it is gone.
	NetNS string
	// Interface is the interface's name in the pod.
	Interface string
	// Config is the complete conflist.
	Config []byte
	// Args are CNI_ARGS.
	Args [][2]string
	// Capabilities are values by capability; a plugin gets those that its
	// configuration declares.
	Capabilities map[string]json.RawMessage
	// Attributes say in spans whose connection this is.
	Attributes []attribute.KeyValue
}

// Runner runs the verbs. It is safe for concurrent use.
type Runner struct {
	cni  *libcni.CNIConfig
	exec invoke.Exec
	dirs []string
}

// NewRunner returns a Runner for the plugins in dirs. libcni keeps results in
// cacheDir, which DEL and CHECK give back to the plugins.
func NewRunner(dirs []string, cacheDir string, exec invoke.Exec) *Runner {
	return &Runner{cni: libcni.NewCNIConfigWithCacheDir(dirs, cacheDir, forgiving{exec}), exec: exec, dirs: dirs}
}

// Add runs ADD of all plugins of the network.
func (r *Runner) Add(ctx context.Context, t Target) (*types100.Result, error) {
	var result *types100.Result
	err := r.run(ctx, "ADD", t, func(ctx context.Context, list *libcni.NetworkConfigList) error {
		raw, err := r.cni.AddNetworkList(ctx, list, t.runtimeConf())
		if err != nil {
			return err
		}
		result, err = types100.NewResultFromResult(raw)
		return err
	})
	return result, err
}

// Delete runs DEL of all plugins of the network. What a plugin does not find
// any more is no error.
func (r *Runner) Delete(ctx context.Context, t Target) error {
	return r.run(ctx, "DEL", t, func(ctx context.Context, list *libcni.NetworkConfigList) error {
		return r.cni.DelNetworkList(ctx, list, t.runtimeConf())
	})
}

// Check runs CHECK of all plugins of the network; a configuration of a
// version that has no CHECK passes.
func (r *Runner) Check(ctx context.Context, t Target) error {
	return r.run(ctx, "CHECK", t, func(ctx context.Context, list *libcni.NetworkConfigList) error {
		err := r.cni.CheckNetworkList(ctx, list, t.runtimeConf())
		if errors.Is(err, libcni.ErrorCheckNotSupp) {
			return nil
		}
		return err
	})
}

// Status tells whether the network's plugins are there and, from CNI 1.1 on,
// whether STATUS says that they are ready.
func (r *Runner) Status(ctx context.Context, config []byte) error {
	list, err := network.Parse(config)
	if err != nil {
		return err
	}
	for _, p := range list.Plugins {
		if _, err := r.exec.FindInPath(p.Network.Type, r.dirs); err != nil {
			return explain(list.Name, err)
		}
	}
	return explain(list.Name, r.cni.GetStatusNetworkList(ctx, list))
}

// Collect releases what belongs to none of the valid attachments: by DEL what
// libcni's cache remembers and, from CNI 1.1 on, by the plugins' GC. No ADD or
// DEL of this network may run meanwhile, says the specification.
func (r *Runner) Collect(ctx context.Context, config []byte, valid []types.GCAttachment) error {
	return r.run(ctx, "GC", Target{Config: config}, func(ctx context.Context, list *libcni.NetworkConfigList) error {
		if valid == nil {
			valid = []types.GCAttachment{} // null is no list to a plugin
		}
		return r.cni.GCNetworkList(ctx, list, &libcni.GCArgs{ValidAttachments: valid})
	})
}

// Remembered returns what libcni's cache has of a container.
func (r *Runner) Remembered(containerID string) ([]Target, error) {
	cached, err := r.cni.GetCachedAttachments(containerID)
	if err != nil {
		return nil, fmt.Errorf("read libcni's cache: %w", err)
	}
	targets := make([]Target, 0, len(cached))
	for _, c := range cached {
		t := Target{
			ContainerID: c.ContainerID, Network: c.Network, NetNS: c.NetNS, Interface: c.IfName,
			Config: c.Config, Args: c.CniArgs, Capabilities: make(map[string]json.RawMessage),
		}
		for name, value := range c.CapabilityArgs {
			if t.Capabilities[name], err = json.Marshal(value); err != nil {
				return nil, fmt.Errorf("read libcni's cache: capability %s: %w", name, err)
			}
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// run wraps a verb on one network into a span.
func (r *Runner) run(ctx context.Context, command string, t Target, fn func(context.Context, *libcni.NetworkConfigList) error) error {
	list, err := network.Parse(t.Config)
	if err != nil {
		return fmt.Errorf("network configuration: %w", err)
	}
	attrs := append([]attribute.KeyValue{attribute.String("cni.network", list.Name)}, t.Attributes...)
	if t.Interface != "" {
		attrs = append(attrs, attribute.String("cni.interface", t.Interface))
	}
	ctx = withAttributes(ctx, attrs)
	return telemetry.Span(ctx, "cni network "+command, func(ctx context.Context) error {
		return explain(list.Name, fn(ctx, list))
	}, attrs...)
}

func (t *Target) runtimeConf() *libcni.RuntimeConf {
	capabilities := make(map[string]any, len(t.Capabilities))
	for name, value := range t.Capabilities {
		capabilities[name] = value
	}
	return &libcni.RuntimeConf{
		ContainerID: t.ContainerID, NetNS: t.NetNS, IfName: t.Interface,
		Args: t.Args, CapabilityArgs: capabilities,
	}
}

type attributesKey struct{}

// withAttributes hands the attributes through libcni to the Exec.
func withAttributes(ctx context.Context, attrs []attribute.KeyValue) context.Context {
	return context.WithValue(ctx, attributesKey{}, attrs)
}

func attributesOf(ctx context.Context) []attribute.KeyValue {
	attrs, _ := ctx.Value(attributesKey{}).([]attribute.KeyValue)
	return append([]attribute.KeyValue(nil), attrs...)
}
