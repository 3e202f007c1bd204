package nri

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/ttrpc"
	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/trivet-cri/trivet/internal/telemetry"
)

// peers are the connections to plugins. The library keeps its list of plugins
// to itself, so this one is made from what goes over their connections: each has
// an interceptor of its own, and a plugin counts as registered when it has been
// synchronized. The library does that for one plugin after another, and reports
// each by name right after the call: so connection and name find each other.
type peers struct {
	mu     sync.Mutex
	all    map[*peer]bool
	synced *peer // whose synchronization was the latest call
}

// peer is the connection to one plugin.
type peer struct {
	peers  *peers
	client *ttrpc.Client
	// Guarded by peers.mu.
	name   string        // index and name, as in 10-logger; empty until registered
	events api.EventMask // that it subscribes to
	gone   bool          // the library calls it no more
}

func newPeers() *peers { return &peers{all: make(map[*peer]bool)} }

func (all *peers) add(client *ttrpc.Client) *peer {
	one := &peer{peers: all, client: client}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.all[one] = true
	return one
}

// remove returns the name if it was registered.
func (all *peers) remove(one *peer) string {
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.all, one)
	one.gone = true
	return one.name
}

// close ends all calls. The connections end with the process: the library keeps
// them to itself.
func (all *peers) close() {
	all.mu.Lock()
	var clients []*ttrpc.Client
	for one := range all.all {
		clients = append(clients, one.client)
	}
	all.mu.Unlock()
	for _, client := range clients {
		if client != nil {
			_ = client.Close() // it only cancels
		}
	}
}

// registered are the plugins that the library calls, sorted.
func (all *peers) registered() []string {
	all.mu.Lock()
	defer all.mu.Unlock()
	var names []string
	for one := range all.all {
		if one.name != "" && !one.gone {
			names = append(names, one.name)
		}
	}
	slices.Sort(names)
	return names
}

// called tells whether a registered plugin of that name has answered a call
// of the event, or has not subscribed to it.
func (all *peers) called(name string, event api.Event, by *calls) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	for one := range all.all {
		if matches(name, one.name) && !one.gone && (!one.events.IsSet(event) || by.answered(one)) {
			return true
		}
	}
	return false
}

// matches tells whether a plugin is who a name in the configuration means,
// with its index or without.
func matches(name, plugin string) bool {
	_, base, _ := strings.Cut(plugin, "-")
	return plugin != "" && (name == plugin || name == base)
}

// intercept sees each call of one plugin.
func (one *peer) intercept(ctx context.Context, r *ttrpc.Request, response *ttrpc.Response, info *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
	method := path.Base(info.FullMethod)
	one.peers.mu.Lock()
	name := one.name
	one.peers.mu.Unlock()
	var broken error // of the connection, beside errors that the plugin returns
	_ = telemetry.Span(ctx, "nri.plugin "+method, func(ctx context.Context) error {
		broken = invoke(ctx, r, response)
		answer := codes.Code(response.GetStatus().GetCode())
		switch {
		case broken != nil || answer == codes.OK:
			return broken
		case answer == codes.DeadlineExceeded:
			// A plugin that minds its deadline and one that does not are both
			// late: whose clock is first must not make a difference.
			broken = fmt.Errorf("NRI plugin %s: %w", name, context.DeadlineExceeded)
		}
		return status.ErrorProto(response.GetStatus())
	}, attribute.String("nri.plugin", name))
	one.observe(ctx, method, response, broken)
	return broken
}

func (one *peer) observe(ctx context.Context, method string, response *ttrpc.Response, err error) {
	one.peers.mu.Lock()
	defer one.peers.mu.Unlock()
	if err != nil {
		one.gone = one.gone || fatal(err)
		return
	}
	switch method {
	case "Configure":
		reply := &api.ConfigureResponse{}
		if proto.Unmarshal(response.GetPayload(), reply) == nil {
			one.events = api.EventMask(reply.GetEvents())
		}
		if one.events == 0 {
			one.events = api.ValidEvents
		}
	case "Synchronize":
		one.peers.synced = one
	}
	if by, ok := ctx.Value(callsKey{}).(*calls); ok {
		by.add(one, method, response)
	}
}

// fatal tells whether the library drops a plugin for an error, as it does
// itself.
func fatal(err error) bool {
	return slices.ContainsFunc([]error{ttrpc.ErrClosed, ttrpc.ErrServerClosed, ttrpc.ErrProtocol, context.DeadlineExceeded},
		func(kind error) bool { return errors.Is(err, kind) })
}

// metrics are how the library tells of its calls, in the goroutine of the
// call and with the plugin's name.
type metrics struct{ peers *peers }

// RecordPluginInvocation gives the connection that was synchronized its name.
// A plugin in WebAssembly has none: it is known by its name alone.
func (m metrics) RecordPluginInvocation(name, operation string, err error) {
	all := m.peers
	all.mu.Lock()
	defer all.mu.Unlock()
	switch {
	case operation == "Synchronize" && err == nil && all.synced != nil:
		all.synced.name, all.synced = name, nil
	case operation == "Synchronize" && err == nil && !all.knows(name):
		all.all[&peer{peers: all, name: name}] = true
	case err != nil && fatal(err):
		for one := range all.all {
			one.gone = one.gone || one.client == nil && one.name == name
		}
	}
}

func (all *peers) knows(name string) bool {
	for one := range all.all {
		if one.name == name && !one.gone {
			return true
		}
	}
	return false
}

// RecordPluginLatency is not needed: spans tell.
func (metrics) RecordPluginLatency(string, string, time.Duration) {}

// RecordPluginAdjustments is not needed.
func (metrics) RecordPluginAdjustments(string, string, *adaptation.ContainerAdjustment, int, int) {}

// UpdatePluginCount is not needed.
func (metrics) UpdatePluginCount(int) {}
