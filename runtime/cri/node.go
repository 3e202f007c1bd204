package cri

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/version"
	netsyncv1 "github.com/trivet-cri/trivet/proto/netsync/v1"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/runtime/handler"
	"github.com/trivet-cri/trivet/runtime/operation"
)

// Network is netsync, as the node's status needs it; *network.Network is.
type Network interface {
	Status() *netsyncv1.WatchStatusResponse
	SetPodCIDR(ctx context.Context, cidrs []string) error
}

// Overview is what the verbose status tells of pods, containers or images.
type Overview interface {
	Running() []operation.Status
	Quarantine() map[string]error
}

// Plugins are those of NRI; *nri.Plugins are. Neither method waits. A nil one
// has none.
type Plugins interface {
	Registered() []string
	Missing() []string // required ones, without which nothing is created
}

// Logs are the containers', as streamer sees them; *node.Logs are. Neither
// method waits.
type Logs interface {
	Status() *streamerv1.ListTroubledLogsResponse
	Condition() *runtimeapi.RuntimeCondition
}

// NodeDeps are what Node is made of.
type NodeDeps struct {
	Config *config.Config
	// RuntimeError is nil while containerd answers. It never waits.
	RuntimeError func() error
	Network      Network
	Logs         Logs
	Plugins      Plugins // nil for none
	// Handlers are the reports on runtime handlers that there are. It never waits.
	Handlers func() map[string]handler.Report
	// UserNamespacesHostNetwork tells whether the machine lets pods of the host's
	// network have a user namespace.
	UserNamespacesHostNetwork bool
	// Overviews by the noun that they are of.
	Overviews map[string]Overview
}

// Node serves what is not about one pod or container.
type Node struct{ NodeDeps }

// NewNode returns the handlers.
func NewNode(deps NodeDeps) *Node { return &Node{deps} }

// Version tells who answers. Kubelets call it first, and crictl to see what
// API version is spoken.
func (n *Node) Version(context.Context, *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	return &runtimeapi.VersionResponse{
		Version:     "0.1.0", // of the kubelet's API, since for ever
		RuntimeName: "trivet", RuntimeVersion: version.String(), RuntimeApiVersion: "v1",
	}, nil
}

// Status tells whether pods can be run, from what is known: it waits neither
// for containerd nor for a plugin.
func (n *Node) Status(_ context.Context, r *runtimeapi.StatusRequest) (*runtimeapi.StatusResponse, error) {
	response := &runtimeapi.StatusResponse{
		Status: &runtimeapi.RuntimeStatus{Conditions: []*runtimeapi.RuntimeCondition{n.runtimeCondition(), n.networkCondition(), n.Logs.Condition()}},
		Features: &runtimeapi.RuntimeFeatures{
			SupplementalGroupsPolicy:  true,
			MountOptions:              true,
			UserNamespacesHostNetwork: n.UserNamespacesHostNetwork,
		},
		RuntimeHandlers: n.handlers(),
	}
	if r.GetVerbose() {
		info, err := n.info()
		if err != nil {
			return nil, err
		}
		response.Info = info
	}
	return response, nil
}

// handlers are the runtime handlers with what is known of them. The empty name
// is the default one.
func (n *Node) handlers() []*runtimeapi.RuntimeHandler {
	reports := n.Handlers()
	var all []*runtimeapi.RuntimeHandler
	add := func(name, of string) {
		one := &runtimeapi.RuntimeHandler{Name: name}
		if r, ok := reports[of]; ok {
			one.Features = &runtimeapi.RuntimeHandlerFeatures{
				RecursiveReadOnlyMounts: r.Features.RecursiveReadOnly, UserNamespaces: r.Features.UserNamespaces,
			}
		}
		all = append(all, one)
	}
	add("", n.Config.Runtime.DefaultHandler)
	for _, name := range slices.Sorted(maps.Keys(n.Config.Runtime.Handlers)) {
		add(name, name)
	}
	return all
}

func (n *Node) runtimeCondition() *runtimeapi.RuntimeCondition {
	if err := n.RuntimeError(); err != nil {
		return &runtimeapi.RuntimeCondition{Type: runtimeapi.RuntimeReady, Reason: "ContainerdUnavailable", Message: err.Error()}
	}
	condition := &runtimeapi.RuntimeCondition{Type: runtimeapi.RuntimeReady, Status: true}
	if n.Plugins != nil {
		if missing := n.Plugins.Missing(); len(missing) > 0 {
			condition.Message = "nothing is created: required NRI plugins are not registered: " + strings.Join(missing, ", ")
		}
	}
	return condition
}

func (n *Node) networkCondition() *runtimeapi.RuntimeCondition {
	status := n.Network.Status()
	condition := &runtimeapi.RuntimeCondition{
		Type: runtimeapi.NetworkReady, Status: status.GetReady(), Reason: status.GetReason(), Message: status.GetMessage(),
	}
	if status.GetReady() && status.GetConfigError() != "" {
		condition.Message = "an older configuration is in use: " + status.GetConfigError()
	}
	return condition
}

// info is the verbose part: what runs, what is quarantined, the networks, and
// what the runtime handlers say of themselves.
func (n *Node) info() (map[string]string, error) {
	operations := []operation.Status{}
	quarantine := make(map[string]map[string]string)
	for noun, o := range n.Overviews {
		operations = append(operations, o.Running()...)
		for id, err := range o.Quarantine() {
			if quarantine[noun] == nil {
				quarantine[noun] = make(map[string]string)
			}
			quarantine[noun][id] = err.Error()
		}
	}
	plugins := map[string][]string{"registered": {}, "missing": {}}
	if n.Plugins != nil {
		plugins["registered"] = append(plugins["registered"], n.Plugins.Registered()...)
		plugins["missing"] = append(plugins["missing"], n.Plugins.Missing()...)
	}
	info := make(map[string]string)
	for key, value := range map[string]any{
		"config": n.Config, "operations": operations, "quarantine": quarantine, "network": n.Network.Status(), "handlers": n.Handlers(), "nri": plugins, "logs": n.Logs.Status(),
	} {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("describe %s: %w", key, err)
		}
		info[key] = string(text)
	}
	return info, nil
}

// RuntimeConfig tells the cgroup driver, which kubelets follow.
func (n *Node) RuntimeConfig(context.Context, *runtimeapi.RuntimeConfigRequest) (*runtimeapi.RuntimeConfigResponse, error) {
	driver := runtimeapi.CgroupDriver_CGROUPFS
	if n.Config.SystemdCgroup() {
		driver = runtimeapi.CgroupDriver_SYSTEMD
	}
	return &runtimeapi.RuntimeConfigResponse{Linux: &runtimeapi.LinuxRuntimeConfiguration{CgroupDriver: driver}}, nil
}

// UpdateRuntimeConfig takes the node's pod CIDRs, from which a CNI
// configuration is made if there is a template. Idempotent. Errors:
// InvalidArgument.
func (n *Node) UpdateRuntimeConfig(ctx context.Context, r *runtimeapi.UpdateRuntimeConfigRequest) (*runtimeapi.UpdateRuntimeConfigResponse, error) {
	text := r.GetRuntimeConfig().GetNetworkConfig().GetPodCidr()
	if text == "" {
		return &runtimeapi.UpdateRuntimeConfigResponse{}, nil
	}
	cidrs := strings.Split(text, ",")
	for i := range cidrs {
		cidrs[i] = strings.TrimSpace(cidrs[i])
	}
	if err := n.Network.SetPodCIDR(ctx, cidrs); err != nil {
		return nil, err
	}
	return &runtimeapi.UpdateRuntimeConfigResponse{}, nil
}
