package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/launcher/process"
	"github.com/trivet-cri/trivet/launcher/supervisor"
)

// world is a machine without processes, and a watcher. Time in it is
// synctest's: nothing sleeps.
type world struct {
	mu     sync.Mutex
	pids   int
	alive  map[string]*fakeProcess // by member
	elders map[string]*fakeProcess // of members that hand over, when the next has started
	traits map[string]traits       // of processes started from now on
	events []string                // "start NAME", "stop NAME SIGNAL", "end NAME"
	starts map[string][]time.Time
	told   []string
	stop   func() // ends the supervisor and waits for its end

	handsOver bool // streamer does
}

// traits are how a fake process behaves.
type traits struct {
	startErr error
	exits    bool // right after its start
	silent   bool // never answers a health check
	unready  bool // says that it does not serve
	deaf     bool // ignores every signal but SIGKILL
	refuses  bool // does not hand over
	hangs    bool // does not answer when it is to hand over
}

func newWorld() *world {
	return &world{alive: map[string]*fakeProcess{}, elders: map[string]*fakeProcess{}, traits: map[string]traits{}, starts: map[string][]time.Time{}}
}

func (w *world) note(format string, args ...any) {
	w.events = append(w.events, fmt.Sprintf(format, args...))
}

func (w *world) Start(command process.Command) (supervisor.Process, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.starts[command.Name] = append(w.starts[command.Name], time.Now())
	w.note("start %s", command.Name)
	if old := w.alive[command.Name]; old != nil && w.handsOver {
		w.elders[command.Name] = old
	} else if old != nil {
		return nil, fmt.Errorf("%s already runs with pid %d", command.Name, old.pid)
	}
	if err := w.traits[command.Name].startErr; err != nil {
		return nil, err
	}
	w.pids++
	p := &fakeProcess{world: w, name: command.Name, pid: w.pids, traits: w.traits[command.Name], done: make(chan struct{})}
	w.alive[command.Name] = p
	if p.exits {
		p.end(process.Exit{Code: 1, Line: "no luck"})
	}
	return p, nil
}

func (w *world) Probe(socket string) (supervisor.Probe, error) { return &fakeProbe{w, socket}, nil }

func (w *world) HandOver(ctx context.Context, socket string, pid int) error {
	w.mu.Lock()
	w.note("hand over %s", socket)
	old := w.elders[socket]
	w.mu.Unlock()
	if old == nil || old.pid != pid {
		return fmt.Errorf("%s has another pid than %d", socket, pid)
	}
	t := old.traits
	switch {
	case t.refuses:
		return errors.New("not implemented")
	case t.hangs:
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (w *world) Serving(generation int64) { w.tell(fmt.Sprintf("serving %d", generation)) }

func (w *world) Down(reason string) { w.tell("down " + reason) }

func (w *world) tell(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, what)
}

// behave sets the traits of a member's processes: of the running one too.
func (w *world) behave(name string, t traits) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.traits[name] = t
	if p := w.alive[name]; p != nil {
		p.traits = t
	}
}

// die ends a member's process and lets the consequences happen that need no
// time to pass.
func (w *world) die(name string, exit process.Exit) {
	w.mu.Lock()
	w.alive[name].end(exit)
	w.mu.Unlock()
	synctest.Wait()
}

// since returns the events from the index on.
func (w *world) since(i int) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events[i:])
}

type fakeProcess struct {
	world *world
	name  string
	pid   int
	traits
	done chan struct{}
	exit process.Exit
}

func (p *fakeProcess) PID() int              { return p.pid }
func (p *fakeProcess) Done() <-chan struct{} { return p.done }
func (p *fakeProcess) Exit() process.Exit    { return p.exit }

// end is called with the world's lock.
func (p *fakeProcess) end(exit process.Exit) {
	p.exit = exit
	p.world.note("end %s", p.name)
	if p.world.alive[p.name] == p {
		delete(p.world.alive, p.name)
	}
	close(p.done)
}

func (p *fakeProcess) Stop(signal syscall.Signal, grace time.Duration) (killed bool) {
	p.world.mu.Lock()
	p.world.note("stop %s %s", p.name, unix.SignalName(signal))
	deaf := p.deaf
	p.world.mu.Unlock()
	if deaf {
		select {
		case <-p.done:
			return false
		case <-time.After(grace):
		}
	}
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	if deaf {
		p.end(process.Exit{Signal: unix.SIGKILL})
	} else {
		p.end(process.Exit{})
	}
	return deaf
}

type fakeProbe struct {
	world *world
	name  string
}

func (p *fakeProbe) Check(ctx context.Context) (bool, error) {
	p.world.mu.Lock()
	proc := p.world.alive[p.name]
	var t traits
	if proc != nil {
		t = proc.traits
	}
	p.world.mu.Unlock()
	switch {
	case proc == nil:
		return false, errors.New("connection refused")
	case t.silent:
		<-ctx.Done()
		return false, ctx.Err()
	}
	return !t.unready, nil
}

func (p *fakeProbe) Close() error { return nil }

// limits are round numbers for arithmetic in tests.
var limits = supervisor.Limits{
	Start: 30 * time.Second, Stop: 20 * time.Second,
	Interval: 2 * time.Second, Timeout: 5 * time.Second, Threshold: 3,
	Backoff: supervisor.Backoff{Min: 100 * time.Millisecond, Max: 10 * time.Second, Reset: time.Minute},
}

// plan is the group's; optional members are not critical.
func plan(revision string, optional ...string) *supervisor.Plan {
	member := func(name string) supervisor.Member {
		return supervisor.Member{
			Name: name, Critical: !slices.Contains(optional, name), HealthSocket: name,
			Command: process.Command{Name: name},
		}
	}
	return &supervisor.Plan{
		Revision: revision, Limits: limits, Prepare: func() error { return nil },
		Stages: [][]supervisor.Member{{member("netsync"), member("streamer")}, {member("runtime")}},
	}
}

// supervised runs script against a supervisor of p. synctest fails the test if
// anything of it is left at the end.
func supervised(t *testing.T, p *supervisor.Plan, script func(t *testing.T, w *world, s *supervisor.Supervisor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := supervisor.New(p, w, w, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); s.Run(ctx) }()
		w.stop = func() { stop(); <-ended }
		script(t, w, s)
		w.stop()
		if len(w.alive) > 0 {
			t.Errorf("left running: %v", w.alive)
		}
	})
}

// serve starts the group.
func serve(t *testing.T, s *supervisor.Supervisor) {
	t.Helper()
	time.Sleep(time.Second) // of synctest's time: polls
	synctest.Wait()
	for _, m := range s.Snapshot().Members {
		if m.State != supervisor.Serving {
			t.Fatalf("%s is %s", m.Name, m.State)
		}
	}
}

func member(t *testing.T, s *supervisor.Supervisor, name string) supervisor.MemberStatus {
	t.Helper()
	for _, m := range s.Snapshot().Members {
		if m.Name == name {
			return m
		}
	}
	t.Fatalf("no member %s", name)
	return supervisor.MemberStatus{}
}

// expect compares events; those in one string, separated by a bar, may come
// in any order.
func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	rest := got
	for _, group := range want {
		any := strings.Split(group, " | ")
		if len(rest) < len(any) {
			t.Fatalf("events are %q, want %q", got, want)
		}
		have := slices.Sorted(slices.Values(rest[:len(any)]))
		slices.Sort(any)
		if !slices.Equal(have, any) {
			t.Fatalf("events are %q, want %q", got, want)
		}
		rest = rest[len(any):]
	}
	if len(rest) > 0 {
		t.Fatalf("events are %q, want %q", got, want)
	}
}
