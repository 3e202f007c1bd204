// Package status keeps the state of the network that the runtime reports.
//
// It is composed from what the other parts publish (configurations, the
// plugins' STATUS, the ledger), so reading it never runs a plugin. STATUS is
// asked in the background; an answer holds until the next one.
package status

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/netsync/latest"
	"github.com/trivet-cri/trivet/netsync/network"
)

// Reasons, for machines.
const (
	Ready         = "NetworkReady"
	NoNetwork     = "NoNetworkConfigured"
	InvalidConfig = "InvalidNetworkConfiguration"
	Unknown       = "PluginStatusUnknown"
	NotReady      = "PluginNotReady"
)

// Prober asks a network's plugins whether they are ready.
type Prober interface {
	Status(ctx context.Context, config []byte) error
}

// Counter tells the number of attachments, with a channel that is closed when
// it may have changed.
type Counter interface {
	Count() (int, <-chan struct{})
}

// State is one state of the network. It is immutable.
type State struct {
	Ready bool
	// Reason is one of the constants above.
	Reason string
	// Message says what is wrong, naming the file or the plugin.
	Message string
	// Groups are the loaded networks by directory.
	Groups []*network.Group
	// ConfigError is what is wrong with the newest configuration while an
	// older, good one stays in use.
	ConfigError string
	// Attachments counts the ledger's entries.
	Attachments int
	// ChangedAt is when this state began.
	ChangedAt time.Time
}

// verdict is the newest answer to STATUS of a network.
type verdict struct {
	network string
	err     error
}

// verdicts are by configuration: another one has not answered yet.
type verdicts map[string]verdict

// Board holds the state while Run runs. It is safe for concurrent use.
type Board struct {
	configs  *network.Configs
	counter  Counter
	prober   Prober
	interval time.Duration
	timeout  time.Duration
	log      *slog.Logger
	answers  *latest.Value[verdicts]
	state    *latest.Value[*State]
}

// NewBoard returns a Board that asks for STATUS every interval and gives a
// network's plugins timeout to answer.
func NewBoard(configs *network.Configs, counter Counter, prober Prober, interval, timeout time.Duration, log *slog.Logger) *Board {
	b := &Board{
		configs: configs, counter: counter, prober: prober, interval: interval, timeout: timeout, log: log,
		answers: latest.New(verdicts{}),
	}
	count, _ := counter.Count()
	b.state = latest.New(compose(configs.Snapshot(), nil, count))
	return b
}

// Watch returns the newest state and a channel that is closed when it changes.
func (b *Board) Watch() (*State, <-chan struct{}) { return b.state.Watch() }

// Run keeps the state up to date until ctx ends.
func (b *Board) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.probe(ctx) })
	group.Go(func() error { return b.publish(ctx) })
	return group.Wait()
}

// probe asks for STATUS at once, after each change of the configuration and
// every interval.
func (b *Board) probe(ctx context.Context) error {
	ticker := time.NewTicker(b.interval)
	defer ticker.Stop()
	for {
		snapshot, changed := b.configs.Watch()
		if answers := b.askUntil(ctx, changed, snapshot); answers != nil && ctx.Err() == nil {
			b.answers.Set(answers)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-ticker.C:
		}
	}
}

// askUntil asks, but gives up and returns nil when the configuration changes:
// a plugin that hangs may be what the change is about.
func (b *Board) askUntil(ctx context.Context, changed <-chan struct{}, snapshot *network.Snapshot) verdicts {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var asking errgroup.Group
	var answers verdicts
	asked := make(chan struct{})
	asking.Go(func() error {
		defer close(asked)
		answers = b.ask(ctx, snapshot)
		return nil
	})
	select {
	case <-changed:
		cancel()
		_ = asking.Wait()
		return nil
	case <-asked:
		return answers
	}
}

// ask runs STATUS of all networks at the same time: one that hangs must not
// delay what the others say beyond its own timeout.
func (b *Board) ask(ctx context.Context, snapshot *network.Snapshot) verdicts {
	ctx, cancel := context.WithTimeoutCause(ctx, b.timeout,
		fmt.Errorf("status_timeout of %s: %w", b.timeout, context.DeadlineExceeded))
	defer cancel()
	var networks []*network.Network
	for _, g := range snapshot.Groups {
		networks = append(networks, g.Networks...)
	}
	errs := make([]error, len(networks))
	var group errgroup.Group
	for i, n := range networks {
		group.Go(func() error {
			errs[i] = b.prober.Status(ctx, n.Config)
			return nil
		})
	}
	_ = group.Wait()
	answers := make(verdicts, len(networks))
	for i, n := range networks {
		answers[string(n.Config)] = verdict{n.Name, errs[i]}
	}
	return answers
}

// publish composes the state anew when one of its sources changes.
func (b *Board) publish(ctx context.Context) error {
	for {
		snapshot, configured := b.configs.Watch()
		answers, answered := b.answers.Watch()
		count, counted := b.counter.Count()
		next := compose(snapshot, answers, count)
		if old := b.state.Get(); !same(old, next) {
			b.report(ctx, old, next)
			b.state.Set(next)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-configured:
		case <-answered:
		case <-counted:
		}
	}
}

func (b *Board) report(ctx context.Context, old, next *State) {
	switch {
	case next.Ready && !old.Ready:
		b.log.InfoContext(ctx, "network is ready")
	case !next.Ready && (old.Ready || old.Message != next.Message):
		b.log.WarnContext(ctx, "network is not ready", "reason", next.Reason, "message", next.Message)
	}
}
