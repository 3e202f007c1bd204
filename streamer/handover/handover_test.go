package handover_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"

	"github.com/trivet-cri/trivet/internal/listen"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/handover"
	"github.com/trivet-cri/trivet/streamer/pump"
	"github.com/trivet-cri/trivet/streamer/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

// fake plays pumps, streaming server and whoever serves the socket. It notes
// what is called.
type fake struct {
	mu     sync.Mutex
	events []string
	fails  string // the call that does
}

func (f *fake) note(event string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, event)
	if event == f.fails {
		return errors.New("no luck")
	}
	return nil
}

func (f *fake) Settle(context.Context) error { return f.note("settle") }
func (f *fake) Retire(context.Context) error { return f.note("retire") }

func (f *fake) HandOver(context.Context, pump.Successor) (int, error) { return 3, f.note("pumps") }

// hand returns a hand-over in dir whose socket is served until it is to stop.
func hand(t *testing.T, f *fake, dir string) (*handover.HandOver, *session.Set) {
	t.Helper()
	sessions := session.NewSet()
	h := handover.New(handover.Parts{
		Pumps: f, Streams: f, Tokens: session.NewTokens(time.Now), Sessions: sessions, TokenFile: filepath.Join(dir, "tokens"),
	}, discard)
	listener, err := listen.BindUnix(filepath.Join(dir, "s.sock"))
	if err != nil {
		t.Fatal(err)
	}
	door := h.Door(listener)
	var serving sync.WaitGroup
	end := make(chan struct{})
	serving.Go(func() {
		select {
		case <-h.Shut():
			_ = f.note("shut")
		case <-end:
		}
		_ = door.Close()
	})
	t.Cleanup(func() { close(end); serving.Wait() })
	return h, sessions
}

func TestHandOver(t *testing.T) {
	t.Parallel()
	f, dir := &fake{}, t.TempDir()
	h, sessions := hand(t, f, dir)
	_, opened, err := sessions.Begin(t.Context(), session.Info{Kind: session.Exec})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.End(nil)
	if _, err := h.Do(t.Context(), os.Getpid()+1); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("another process is meant: %v", err)
	}
	got, err := h.Do(t.Context(), os.Getpid())
	if err != nil || got.GetPumps() != 3 || got.GetSessions() != 1 {
		t.Errorf("handed over %v, error %v", got, err)
	}
	if want := []string{"settle", "retire", "shut", "pumps"}; !slices.Equal(f.events, want) {
		t.Errorf("events are %v, want %v", f.events, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "tokens")); err != nil {
		t.Error(err)
	}
	// The socket is the successor's.
	next, err := listen.BindUnix(filepath.Join(dir, "s.sock"))
	if err != nil {
		t.Fatal(err)
	}
	_ = next.Close()
	if _, err := h.Do(t.Context(), os.Getpid()); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a second time: %v", err)
	}
}

func TestHandOverFails(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"settle", "retire", "pumps"} {
		f := &fake{fails: at}
		h, _ := hand(t, f, t.TempDir())
		if _, err := h.Do(t.Context(), os.Getpid()); err == nil || f.events[len(f.events)-1] != at {
			t.Errorf("%s fails: error %v, events %v", at, err, f.events)
		}
	}
	f := &fake{}
	h, _ := hand(t, f, filepath.Join(t.TempDir()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Do(ctx, os.Getpid()); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("the launcher has no patience: %v", err)
	}
}

func TestDraining(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sessions := session.NewSet()
	_, opened, err := sessions.Begin(t.Context(), session.Info{Kind: session.Exec, Subject: &streamerv1.Container{Id: "aa"}})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.End(nil)
	draining := handover.NewDraining(dir, discard)
	if list := draining.Sessions(t.Context()); len(list) != 0 {
		t.Errorf("sessions are %v", list)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- handover.ServeDraining(ctx, dir, sessions, discard) }()
	var list []*streamerv1.Session
	for deadline := time.Now().Add(10 * time.Second); len(list) == 0 && time.Now().Before(deadline); {
		list = draining.Sessions(t.Context())
	}
	if len(list) != 1 || list[0].GetTarget() != "aa" || !list[0].GetDraining() {
		t.Errorf("sessions are %v", list)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	// What a dead one has left, and what says nothing.
	dead, err := net.Listen("unix", filepath.Join(dir, "1.sock"))
	if err != nil {
		t.Fatal(err)
	}
	if unix, ok := dead.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
	_ = dead.Close()
	silent, err := net.Listen("unix", filepath.Join(dir, "2.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	if list := draining.Sessions(t.Context()); len(list) != 0 {
		t.Errorf("sessions are %v", list)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "2.sock" {
		t.Errorf("left are %v, error %v", left, err)
	}
}
