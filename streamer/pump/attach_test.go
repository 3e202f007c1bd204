package pump_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/streamer/pump"
)

// screen is what a client sees.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// stuck blocks in Write until it is freed.
type stuck struct{ free, entered chan struct{} }

func (s *stuck) Write(b []byte) (int, error) {
	select {
	case s.entered <- struct{}{}:
	default:
	}
	<-s.free
	return len(b), nil
}

// join attaches and returns a function that waits for the result. It returns
// once the client surely sees what is written from then on.
func join(t *testing.T, p *pump.Pumps, id string, out *shim, s pump.Streams) (result func() error) {
	t.Helper()
	seen := &screen{}
	inner := s.Stdout
	s.Stdout = writer(func(b []byte) (int, error) {
		if inner != nil && seen.String() != "" {
			return inner.Write(b)
		}
		return seen.Write(b)
	})
	ended := make(chan error, 1)
	go func() { ended <- p.Attach(t.Context(), id, s) }()
	eventually(t, "attached client", func() bool {
		out.write(t, "?\n")
		return seen.String() != ""
	})
	return func() error { return <-ended }
}

type writer func(b []byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

func TestAttach(t *testing.T) {
	t.Parallel()
	for _, logged := range []bool{true, false} {
		p := run(t, t.TempDir())
		r := request(t)
		if !logged {
			r.LogPath = ""
		}
		id := r.GetContainer().GetId()
		fifos := open(t, p, r)
		out, errs := openShim(t, fifos.GetStdout()), openShim(t, fifos.GetStderr())
		out.write(t, "before\n")
		var seen [3]screen
		var seenErr screen
		var results []func() error
		for i := range seen {
			results = append(results, join(t, p, id, out, pump.Streams{Stdout: &seen[i], Stderr: &seenErr}))
		}
		out.write(t, "prompt> ") // seen although the log waits for the line's end
		for i := range seen {
			eventually(t, "prompt", func() bool { return strings.HasSuffix(seen[i].String(), "prompt> ") })
		}
		errs.write(t, "oops\n")
		eventually(t, "stderr", func() bool { return strings.Count(seenErr.String(), "oops\n") == 3 })
		out.write(t, "rest\n")
		out.close()
		errs.close()
		for i, result := range results {
			if err := result(); err != nil {
				t.Error(err)
			}
			if got := seen[i].String(); !strings.HasSuffix(got, "prompt> rest\n") || strings.Contains(got, "before") ||
				strings.Count(got, "prompt") != 1 {
				t.Errorf("client %d saw %q", i, got)
			}
		}
		// The output has ended: nothing to see.
		if err := p.Attach(t.Context(), id, pump.Streams{Stdout: io.Discard}); err != nil {
			t.Error(err)
		}
		mustClose(t, p, id)
	}
}

func TestAttachRefuses(t *testing.T) {
	t.Parallel()
	p := run(t, t.TempDir())
	r := request(t)
	open(t, p, r)
	id := r.GetContainer().GetId()
	if err := p.Attach(t.Context(), ident.New(), pump.Streams{}); !errdefs.IsNotFound(err) {
		t.Errorf("unknown container: %v", err)
	}
	if err := p.Attach(t.Context(), "..", pump.Streams{}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("path as id: %v", err)
	}
	if err := p.Attach(t.Context(), id, pump.Streams{TTY: true}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("tty: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Attach(ctx, id, pump.Streams{Stdout: io.Discard}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	failing := writer(func([]byte) (int, error) { return 0, io.ErrClosedPipe })
	out := openShim(t, open(t, p, r).GetStdout())
	ended := make(chan error, 1)
	go func() { ended <- p.Attach(t.Context(), id, pump.Streams{Stdout: failing}) }()
	eventually(t, "end of a client that left", func() bool {
		out.write(t, "x\n")
		select {
		case err := <-ended:
			return errors.Is(err, io.ErrClosedPipe)
		default:
			return false
		}
	})
}

// TestSlowClient neither slows the log nor another client, and is cut off.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	p := runTuned(t, t.TempDir(), 0, 256<<10)
	r := request(t)
	id := r.GetContainer().GetId()
	fifos := open(t, p, r)
	out, errs := openShim(t, fifos.GetStdout()), openShim(t, fifos.GetStderr())
	slow := &stuck{make(chan struct{}), make(chan struct{}, 1)}
	var fast screen
	slowEnd := join(t, p, id, out, pump.Streams{Stdout: slow})
	fastEnd := join(t, p, id, out, pump.Streams{Stdout: &fast})
	<-slow.entered
	want := 0
	for range 100 {
		before := len(fast.String())
		out.write(t, strings.Repeat(strings.Repeat("x", 99)+"\n", 200))
		want += 200
		eventually(t, "output at the fast client", func() bool { return len(fast.String()) >= before+20_000 })
	}
	if err := slowEnd(); !errdefs.IsResourceExhausted(err) {
		t.Errorf("slow client: %v", err)
	}
	out.close()
	errs.close()
	if err := fastEnd(); err != nil {
		t.Error(err)
	}
	if got := strings.Count(fast.String(), "x\n"); got != want {
		t.Errorf("fast client saw %d lines of %d", got, want)
	}
	mustClose(t, p, id)
	close(slow.free) // only now, as a server does when it closes the connection
}

func TestStdin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		once, tty bool
		ends      bool
	}{
		{"stays open", false, false, false},
		{"once", true, false, true},
		{"once with a terminal", true, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			first := newPumps(t, dir)
			stop := start(t, first)
			r := request(t)
			r.Stdin, r.StdinOnce, r.Tty = true, c.once, c.tty
			id := r.GetContainer().GetId()
			fifos := open(t, first, r)
			in, err := os.OpenFile(fifos.GetStdin(), os.O_RDONLY|syscall.O_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = in.Close() })
			closed := make(chan struct{}, 1)
			client := pump.Streams{
				Stdin: strings.NewReader("typed\n"), TTY: c.tty,
				CloseStdin: func(context.Context) error { closed <- struct{}{}; return nil },
			}
			if err := first.Attach(t.Context(), id, client); err != nil {
				t.Fatal(err)
			}
			buffer := make([]byte, 100)
			if n, err := in.Read(buffer); err != nil || string(buffer[:n]) != "typed\n" {
				t.Errorf("stdin gave %q, %v", buffer[:n], err)
			}
			client.Stdin = strings.NewReader("more\n")
			if c.ends {
				<-closed
				if n, err := in.Read(buffer); n != 0 || !errors.Is(err, io.EOF) {
					t.Errorf("stdin gave %q, %v", buffer[:n], err)
				}
				if err := first.Attach(t.Context(), id, client); err == nil {
					t.Error("a second client could write")
				}
				stop()
				client.Stdin = strings.NewReader("more\n")
				second := run(t, dir)
				if err := second.Attach(t.Context(), id, client); !errdefs.IsFailedPrecondition(err) {
					t.Errorf("after a restart: %v", err)
				}
				if ended, err := second.EndedInputs(t.Context()); !slices.Equal(ended, []string{id}) || err != nil {
					t.Errorf("inputs %v have ended, %v", ended, err)
				}
				return
			}
			if ended, err := first.EndedInputs(t.Context()); len(ended) > 0 || err != nil {
				t.Errorf("inputs %v have ended, %v", ended, err)
			}
			if err := first.Attach(t.Context(), id, client); err != nil {
				t.Fatal(err)
			}
			if n, err := in.Read(buffer); err != nil || string(buffer[:n]) != "more\n" {
				t.Errorf("stdin gave %q, %v", buffer[:n], err)
			}
		})
	}
}

// TestStdinBlocked leaves while the container does not read.
func TestStdinBlocked(t *testing.T) {
	t.Parallel()
	p := run(t, t.TempDir())
	r := request(t)
	r.Stdin = true
	fifos := open(t, p, r)
	id := r.GetContainer().GetId()
	chunk := make([]byte, 32<<10)
	for _, chunks := range []int{3, 1} { // one more than the FIFO has room for
		ctx, cancel := context.WithCancel(t.Context())
		source, feed := io.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- p.Attach(ctx, id, pump.Streams{Stdin: source}) }()
		for range chunks {
			if _, err := feed.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("attach: %v", err)
		}
		_ = feed.Close()
	}
	// The next client finds the way free.
	in, err := os.OpenFile(fifos.GetStdin(), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(io.Discard, in) // until it is closed
		got <- n
	}()
	if err := p.Attach(t.Context(), id, pump.Streams{Stdin: bytes.NewReader(chunk)}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, p, id) // closes the last writer
	if n := <-got; n < 3*int64(len(chunk)) {
		t.Errorf("read %d bytes", n)
	}
	_ = in.Close()
}

// TestStop ends the sessions with an error, so that clients know that the
// container goes on.
func TestStop(t *testing.T) {
	t.Parallel()
	p := newPumps(t, t.TempDir())
	stop := start(t, p)
	r := request(t)
	out := openShim(t, open(t, p, r).GetStdout())
	result := join(t, p, r.GetContainer().GetId(), out, pump.Streams{})
	stop()
	if err := result(); !errdefs.IsUnavailable(err) {
		t.Errorf("attach: %v", err)
	}
}
