package nri

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/ttrpc"
)

// peers are the connections to plugins. The library keeps its list of plugins
// to itself, so this one is made from what goes over their connections: each has
// an interceptor of its own, and a plugin counts as registered when it has been
// synchronized. The library does that for one plugin after another, and reports
// each by name right after the call: so connection and name find each other.
type peers struct {
	evict    func(context.Context, []*api.ContainerEviction)
	mu       sync.Mutex
	all      map[*peer]bool
	expected *expected // whose connection the library accepts next
	latest   *peer     // whose connection it has accepted last
	synced   *peer     // whose synchronization was the latest call
}

// expected is a plugin at the door.
type expected struct {
	who      *launched
	accepted chan struct{}
}

// peer is the connection to one plugin.
type peer struct {
	peers  *peers
	client *ttrpc.Client
	who    *launched // nil if it has come by itself
	// Guarded by peers.mu.
	name   string        // index and name, as in 10-logger; empty until registered
	events api.EventMask // that it subscribes to
	gone   bool          // the library calls it no more
}

// newPeers have evict called with the containers that plugins want evicted
// unasked.
func newPeers(evict func(context.Context, []*api.ContainerEviction)) *peers {
	return &peers{evict: evict, all: make(map[*peer]bool)}
}

// expect says whose connection is the next; the result is closed once it is
// accepted. Not to be called again before that.
func (all *peers) expect(who *launched) <-chan struct{} {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.expected = &expected{who, make(chan struct{})}
	return all.expected.accepted
}

// add enters a connection that the library has just accepted.
func (all *peers) add(client *ttrpc.Client) *peer {
	one := &peer{peers: all, client: client}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.all[one], all.latest = true, one
	if all.expected != nil {
		one.who = all.expected.who
		close(all.expected.accepted)
		all.expected = nil
	}
	return one
}

// newest is the one that was added last. The library makes a connection's
// client, which adds it, and its server one right after the other.
func (all *peers) newest() *peer {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.latest
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
		if who := all.synced.who; who != nil && all.synced.name == "" {
			close(who.registered)
		}
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
