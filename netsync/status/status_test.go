package status_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/netsync/latest"
	"github.com/trivet-cri/trivet/netsync/network"
	"github.com/trivet-cri/trivet/netsync/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plugins answers STATUS by the configuration's text.
type plugins struct {
	mu      sync.Mutex
	answers map[string]error // by a part of the configuration
	hang    string           // a configuration with this part does not answer
	asked   int
}

func (p *plugins) Status(ctx context.Context, config []byte) error {
	p.mu.Lock()
	p.asked++
	hang := p.hang != "" && strings.Contains(string(config), p.hang)
	var answer error
	for part, err := range p.answers {
		if strings.Contains(string(config), part) {
			answer = err
		}
	}
	p.mu.Unlock()
	if hang {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return answer
}

func (p *plugins) set(fn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fn()
}

// counter is a ledger of which only the number of entries is known.
type counter struct{ *latest.Value[int] }

func (c counter) Count() (int, <-chan struct{}) { return c.Watch() }

type bench struct {
	t          *testing.T
	dir, other string
	plugins    *plugins
	counter    counter
	board      *status.Board
}

func newBench(t *testing.T, timeout time.Duration) *bench {
	t.Helper()
	b := &bench{
		t: t, dir: t.TempDir(), other: t.TempDir(),
		plugins: &plugins{answers: map[string]error{}}, counter: counter{latest.New(0)},
	}
	b.write(b.dir, "10.conflist", "main")
	b.write(b.other, "10.conflist", "vm")
	log := slog.New(slog.DiscardHandler)
	configs := network.NewConfigs([]network.Source{{Dir: b.dir}, {Group: b.other, Dir: b.other}}, time.Hour, log)
	b.board = status.NewBoard(configs, b.counter, b.plugins, 10*time.Millisecond, timeout, log)
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return configs.Run(ctx) })
	group.Go(func() error { return b.board.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// write makes a network called name; "{" makes a broken file.
func (b *bench) write(dir, file, name string) {
	b.t.Helper()
	text := `{"cniVersion":"1.1.0","name":"` + name + `","plugins":[{"type":"bridge"}]}`
	if name == "{" {
		text = name
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// await waits for a state and returns it.
func (b *bench) await(what string, good func(*status.State) bool) *status.State {
	b.t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		state, changed := b.board.Watch()
		if good(state) {
			return state
		}
		select {
		case <-changed:
		case <-timeout:
			b.t.Fatalf("in vain waited for %s: %+v", what, state)
		}
	}
}

func ready(s *status.State) bool { return s.Ready }

func TestStatesOfANode(t *testing.T) {
	t.Parallel()
	b := newBench(t, time.Second)
	state := b.await("ready", ready)
	if state.Reason != status.Ready || state.Message != "" || len(state.Groups) != 2 {
		t.Errorf("state is %+v", state)
	}

	b.plugins.set(func() { b.plugins.answers["main"] = errors.New(`plugin "bridge": no daemon`) })
	state = b.await("STATUS to fail", func(s *status.State) bool { return !s.Ready })
	if state.Reason != status.NotReady || !strings.Contains(state.Message, "10.conflist") || !strings.Contains(state.Message, "no daemon") {
		t.Errorf("state is %+v", state)
	}
	b.plugins.set(func() { delete(b.plugins.answers, "main") })
	b.await("ready again", ready)

	// A runtime handler's network is its own pods' matter.
	b.plugins.set(func() { b.plugins.answers["vm"] = errors.New("broken tap") })
	state = b.await("the handler's error", func(s *status.State) bool { return strings.Contains(s.Message, "broken tap") })
	if !state.Ready || !strings.Contains(state.Message, b.other) {
		t.Errorf("state is %+v", state)
	}
	b.plugins.set(func() { delete(b.plugins.answers, "vm") })

	b.write(b.dir, "10.conflist", "{")
	state = b.await("the broken file", func(s *status.State) bool { return s.ConfigError != "" })
	if !state.Ready || !strings.Contains(state.ConfigError, "10.conflist") || len(state.Groups[0].Networks) != 1 {
		t.Errorf("state is %+v", state)
	}
	before := state.ChangedAt
	b.counter.Set(3)
	state = b.await("the attachments", func(s *status.State) bool { return s.Attachments == 3 })
	if !state.ChangedAt.After(before) {
		t.Errorf("changed at %v, before %v", state.ChangedAt, before)
	}
}

func TestNothingConfigured(t *testing.T) {
	t.Parallel()
	for name, reason := range map[string]string{"": status.NoNetwork, "{": status.InvalidConfig} {
		dir := t.TempDir()
		b := &bench{t: t}
		if name != "" {
			b.write(dir, "10.conflist", name)
		}
		log := slog.New(slog.DiscardHandler)
		configs := network.NewConfigs([]network.Source{{Dir: dir}}, time.Hour, log)
		board := status.NewBoard(configs, counter{latest.New(0)}, &plugins{}, time.Hour, time.Second, log)
		// At once, before anything runs.
		if state, _ := board.Watch(); state.Ready || state.Reason != reason || !strings.Contains(state.Message, dir) {
			t.Errorf("%q: %+v", name, state)
		}
	}
}

// TestHangingStatus has one network's STATUS hang: the state is published all
// the same, others answer, and the hanging one counts as not ready.
func TestHangingStatus(t *testing.T) {
	t.Parallel()
	b := newBench(t, 100*time.Millisecond)
	b.await("ready", ready)
	b.plugins.set(func() { b.plugins.hang = "main" })
	state := b.await("the timeout", func(s *status.State) bool { return !s.Ready })
	if !strings.Contains(state.Message, "status_timeout") {
		t.Errorf("state is %+v", state)
	}
}

func TestPublishingDoesNotWaitForStatus(t *testing.T) {
	t.Parallel()
	b := newBench(t, time.Hour)
	b.await("ready", ready)
	b.plugins.set(func() { b.plugins.hang = "main" })
	// An edit of the same network keeps its answer until the next.
	if err := os.WriteFile(filepath.Join(b.dir, "10.conflist"), []byte(`{"cniVersion":"1.1.0","name":"main","plugins":[{"type":"ptp"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	state := b.await("the edit", func(s *status.State) bool { return s.Groups[0].Networks[0].Plugins[0] == "ptp" })
	if !state.Ready {
		t.Errorf("state is %+v", state)
	}
	// Another network has none, but is asked at once.
	b.write(b.dir, "10.conflist", "another")
	if state := b.await("the other network", func(s *status.State) bool { return s.Groups[0].Networks[0].Name == "another" }); !state.Ready && state.Reason != status.Unknown {
		t.Errorf("state is %+v", state)
	}
	b.await("its answer", ready)
}

func TestQuietWhenNothingChanges(t *testing.T) {
	t.Parallel()
	b := newBench(t, time.Second)
	b.await("ready", ready)
	state, changed := b.board.Watch()
	asked := func() int { b.plugins.mu.Lock(); defer b.plugins.mu.Unlock(); return b.plugins.asked }
	for before := asked(); asked() < before+10; {
		time.Sleep(time.Millisecond)
	}
	select {
	case <-changed:
		now, _ := b.board.Watch()
		t.Errorf("state went from %+v to %+v", state, now)
	default:
	}
}
