package attach_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/attach"
	"github.com/trivet-cri/trivet/streamer/engine"
	"github.com/trivet-cri/trivet/streamer/pump"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fake struct {
	attach func(ctx context.Context, s pump.Streams) error
	sizes  []uint16
	resize error
	info   pump.Info
	ended  []string

	mu     sync.Mutex
	closed []engine.Process
	broken error // what CloseStdin returns
}

func (f *fake) Info(string) (pump.Info, bool) { return f.info, true }

func (f *fake) Attach(ctx context.Context, container string, s pump.Streams) error {
	if container != "aa" {
		return errors.New("other container")
	}
	return f.attach(ctx, s)
}

func (f *fake) EndedInputs(context.Context) ([]string, error) { return f.ended, nil }

func (f *fake) CloseStdin(_ context.Context, p engine.Process) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = append(f.closed, p)
	return f.broken
}

func (f *fake) Resize(_ context.Context, p engine.Process, width, height uint16) error {
	if p != (engine.Process{Container: "aa"}) {
		return errors.New("other process")
	}
	f.sizes = append(f.sizes, width, height)
	return f.resize
}

func TestStreamsReachThePump(t *testing.T) {
	t.Parallel()
	f := &fake{info: pump.Info{Stdin: true}, attach: func(ctx context.Context, s pump.Streams) error {
		text, _ := io.ReadAll(s.Stdin)
		_, _ = io.WriteString(s.Stdout, strings.ToUpper(string(text)))
		if s.TTY || s.Stderr != nil {
			return errors.New("has what was not asked for")
		}
		return s.CloseStdin(ctx)
	}}
	var out strings.Builder
	err := attach.New(f, f, slog.New(slog.DiscardHandler)).Attach(t.Context(),
		&streamerv1.PrepareAttachRequest{Container: &streamerv1.Container{Id: "aa"}},
		attach.Streams{Stdin: strings.NewReader("in"), Stdout: &out})
	if err != nil || out.String() != "IN" {
		t.Errorf("output %q, error %v", out.String(), err)
	}
	if !slices.Equal(f.closed, []engine.Process{{Container: "aa"}}) {
		t.Errorf("stdin closed: %v", f.closed)
	}
}

// TestInputThatNobodyTakes is read, so that the client is not held up.
func TestInputThatNobodyTakes(t *testing.T) {
	t.Parallel()
	f := &fake{attach: func(_ context.Context, s pump.Streams) error {
		if s.Stdin != nil {
			return errors.New("the container has no stdin")
		}
		return nil
	}}
	input := strings.NewReader("lost")
	err := attach.New(f, f, slog.New(slog.DiscardHandler)).Attach(t.Context(),
		&streamerv1.PrepareAttachRequest{Container: &streamerv1.Container{Id: "aa"}},
		attach.Streams{Stdin: input, Background: func(fn func()) { fn() }})
	if err != nil || input.Len() != 0 {
		t.Errorf("%d bytes unread, error %v", input.Len(), err)
	}
}

// TestResize: sizes go to the container's own terminal; one that fails does
// not end the session.
func TestResize(t *testing.T) {
	t.Parallel()
	sent, broken := make(chan struct{}), errors.New("ended")
	f := &fake{resize: errors.New("broken"), attach: func(_ context.Context, s pump.Streams) error {
		if !s.TTY {
			return errors.New("no terminal")
		}
		<-sent
		return broken
	}}
	sizes := make(chan remotecommand.TerminalSize)
	done := make(chan error)
	go func() {
		done <- attach.New(f, f, slog.New(slog.DiscardHandler)).Attach(t.Context(),
			&streamerv1.PrepareAttachRequest{Container: &streamerv1.Container{Id: "aa"}, Tty: true}, attach.Streams{Resize: sizes})
	}()
	for _, size := range []remotecommand.TerminalSize{{Width: 1, Height: 2}, {Width: 5}, {Width: 3, Height: 4}, {}} {
		sizes <- size
	}
	close(sent)
	if err := <-done; !errors.Is(err, broken) {
		t.Error(err)
	}
	if !slices.Equal(f.sizes, []uint16{1, 2, 3, 4}) {
		t.Errorf("sizes are %v", f.sizes)
	}
}

// TestEndInputs tells of all, whatever becomes of one.
func TestEndInputs(t *testing.T) {
	t.Parallel()
	f := &fake{ended: []string{"aa", "bb", "cc"}, broken: errors.New("broken")}
	attach.New(f, f, slog.New(slog.DiscardHandler)).EndInputs(t.Context())
	told := make(map[engine.Process]int)
	for _, p := range f.closed {
		told[p]++
	}
	if want := map[engine.Process]int{{Container: "aa"}: 1, {Container: "bb"}: 1, {Container: "cc"}: 1}; !maps.Equal(told, want) {
		t.Errorf("told of %v", told)
	}
}
