package pump_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/pump"
)

// line of pumps on one directory, of which the last has it. It is every
// pump's successor.
type line struct {
	dir  string
	last atomic.Pointer[pump.Pumps]
}

func newLine(t *testing.T) (*line, *pump.Pumps) {
	t.Helper()
	l := &line{dir: t.TempDir()}
	p := run(t, l.dir)
	l.last.Store(p)
	return l, p
}

// pass hands over to new pumps. Between the two the test may do something.
func (l *line) pass(t *testing.T, between func()) *pump.Pumps {
	t.Helper()
	old := l.last.Load()
	if err := old.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.last.Store(nil)
	if _, err := old.HandOver(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if between != nil {
		between()
	}
	p := run(t, l.dir)
	l.last.Store(p)
	return p
}

var errNobody = fmt.Errorf("nobody serves: %w", errdefs.ErrUnavailable)

func (l *line) Follow(ctx context.Context, r *streamerv1.FollowRequest, take func(*streamerv1.FollowResponse) error) error {
	if p := l.last.Load(); p != nil {
		return p.Follow(ctx, r, take)
	}
	return errNobody
}

func (l *line) CloseStdin(ctx context.Context, id string) error {
	for ctx.Err() == nil {
		if p := l.last.Load(); p != nil {
			return p.CloseStdin(ctx, id)
		}
	}
	return ctx.Err()
}

func TestHandOverLosesNothing(t *testing.T) {
	t.Parallel()
	for _, logged := range []bool{true, false} {
		l, p := newLine(t)
		r := request(t)
		if !logged {
			r.LogPath = ""
		}
		id := r.GetContainer().GetId()
		out := openShim(t, open(t, p, r).GetStdout())
		var early, late screen
		result := join(t, p, id, out, pump.Streams{Stdout: &early})
		var want bytes.Buffer
		say := func(text string) { want.WriteString(text); out.write(t, text) }
		say("unfinished ")
		eventually(t, "the unfinished line", func() bool { return strings.HasSuffix(early.String(), "unfinished ") })
		for i := range 5 { // all but the last have a follower of their own
			p = l.pass(t, func() { say("line ") })
			say(fmt.Sprintf("%d\nand again unfinished ", i))
		}
		lateResult := join(t, p, id, out, pump.Streams{Stdout: &late})
		l.pass(t, nil)
		out.write(t, "end")
		out.close()
		openShim(t, strings.Replace(open(t, l.last.Load(), r).GetStdout(), "stdout", "stderr", 1)).close()
		for name, wait := range map[string]func() error{"early": result, "late": lateResult} {
			if err := wait(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		got := strings.ReplaceAll(early.String(), "?\n", "")
		if want := want.String() + "end"; got != want {
			t.Errorf("client saw\n%q, want\n%q", got, want)
		}
		if got := strings.ReplaceAll(late.String(), "?\n", ""); got != "end" {
			t.Errorf("late client saw %q", got)
		}
		mustClose(t, l.last.Load(), id)
	}
}

// TestHandOverUnderLoad passes the pumps on while containers write all the
// time: each client sees each byte once, and so does each log.
func TestHandOverUnderLoad(t *testing.T) {
	t.Parallel()
	l, p := newLine(t)
	var writers sync.WaitGroup
	var checks []func()
	stop := make(chan struct{})
	for range 4 {
		r := request(t)
		out := openShim(t, open(t, p, r).GetStdout())
		openShim(t, strings.Replace(open(t, p, r).GetStdout(), "stdout", "stderr", 1)).close()
		var seen screen
		result := join(t, p, r.GetContainer().GetId(), out, pump.Streams{Stdout: &seen})
		skip := len(seen.String())
		var wrote bytes.Buffer
		writers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					out.close()
					return
				default:
				}
				text := fmt.Sprintf("%d %s", n, strings.Repeat("x", n%4000))
				if n%3 > 0 {
					text += "\n"
				}
				wrote.WriteString(text)
				_, _ = out.w.WriteString(text)
			}
		})
		checks = append(checks, func() {
			if err := result(); err != nil {
				t.Error(err)
			}
			got := strings.TrimLeft(seen.String()[skip:], "?\n")
			if got != wrote.String() {
				t.Errorf("client saw %d bytes, %d were written, or others", len(got), wrote.Len())
			}
			mustClose(t, l.last.Load(), r.GetContainer().GetId())
			logged := 0
			for _, rec := range records(t, r.GetLogPath()) {
				logged += len(rec.text)
			}
			if want := len(strings.ReplaceAll(wrote.String(), "\n", "")); logged < want {
				t.Errorf("the log has %d bytes of %d", logged, want)
			}
		})
	}
	for range 10 {
		l.pass(t, nil)
	}
	close(stop)
	writers.Wait()
	for _, check := range checks {
		check()
	}
}

func TestHandOverStdin(t *testing.T) {
	t.Parallel()
	l, p := newLine(t)
	r := request(t)
	r.Stdin, r.StdinOnce = true, true
	fifos := open(t, p, r)
	out := openShim(t, fifos.GetStdout())
	in, err := os.Open(fifos.GetStdin())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	id := r.GetContainer().GetId()
	var told atomic.Int32
	tell := func(context.Context) error { told.Add(1); return nil }
	keys, typed := io.Pipe()
	first := join(t, p, id, out, pump.Streams{Stdin: keys, CloseStdin: tell})
	p = l.pass(t, nil)
	// A second client, of the second process, that never ends its input.
	other, otherTyped := io.Pipe()
	defer func() { _ = otherTyped.Close() }()
	second := join(t, p, id, out, pump.Streams{Stdin: other, CloseStdin: tell})
	l.pass(t, nil)
	if _, err := io.WriteString(typed, "to the container"); err != nil {
		t.Fatal(err)
	}
	_ = typed.Close()
	// It ends when no process has the writing end any more.
	got, err := io.ReadAll(in)
	if err != nil || string(got) != "to the container" {
		t.Errorf("the container read %q, error %v", got, err)
	}
	if n := told.Load(); n != 1 {
		t.Errorf("the task was told %d times", n)
	}
	l.pass(t, nil) // closed for good
	out.close()
	mustClose(t, l.last.Load(), id)
	for _, result := range []func() error{first, second} {
		if err := result(); err != nil {
			t.Error(err)
		}
	}
}

func TestAttachAfterHandOver(t *testing.T) {
	t.Parallel()
	l, p := newLine(t)
	r := request(t)
	out := openShim(t, open(t, p, r).GetStdout())
	id := r.GetContainer().GetId()
	l.pass(t, nil)
	var seen screen
	result := join(t, p, id, out, pump.Streams{Stdout: &seen})
	l.pass(t, nil)
	out.write(t, "from the third\n")
	eventually(t, "output of the third", func() bool { return strings.Contains(seen.String(), "from the third\n") })
	out.close()
	mustClose(t, l.last.Load(), id)
	if err := result(); err != nil {
		t.Error(err)
	}
	if err := p.Attach(t.Context(), id, pump.Streams{Stdout: io.Discard}); !errdefs.IsNotFound(err) {
		t.Errorf("attach to a container that was closed: %v", err)
	}
}

func TestSuccessorKnowsNothing(t *testing.T) {
	t.Parallel()
	l, p := newLine(t)
	r := request(t)
	out := openShim(t, open(t, p, r).GetStdout())
	result := join(t, p, r.GetContainer().GetId(), out, pump.Streams{Stdout: io.Discard})
	l.pass(t, func() {
		if err := os.Remove(l.dir + "/handover"); err != nil {
			t.Error(err)
		}
	})
	if err := result(); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "not kept") {
		t.Errorf("the client is told %v", err)
	}
	out.close()
	mustClose(t, l.last.Load(), r.GetContainer().GetId())
}

// TestFollowerThatDoesNotCome must not be kept output for.
func TestFollowerThatDoesNotCome(t *testing.T) {
	t.Parallel()
	l, p := newLine(t)
	r := request(t)
	id := r.GetContainer().GetId()
	out := openShim(t, open(t, p, r).GetStdout())
	result := join(t, p, id, out, pump.Streams{Stdout: io.Discard})
	if _, err := l.last.Swap(nil).HandOver(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	next := impatient(t, l.dir)
	eventually(t, "end of the claims", func() bool { return next.Unclaimed() == 0 })
	l.last.Store(next)
	if err := result(); !errdefs.IsNotFound(err) {
		t.Errorf("the client is told %v", err)
	}
	out.close()
	mustClose(t, next, id)
}

func TestHandOverTwice(t *testing.T) {
	t.Parallel()
	l, p := newLine(t)
	l.pass(t, nil)
	if _, err := p.HandOver(t.Context(), l); !errdefs.IsUnavailable(err) {
		t.Errorf("handed over twice: %v", err)
	}
	for what, err := range map[string]error{
		"open":        func() error { _, err := p.Open(t.Context(), request(t)); return err }(),
		"reopen":      p.Reopen(t.Context(), request(t).GetContainer().GetId()),
		"close stdin": p.CloseStdin(t.Context(), request(t).GetContainer().GetId()),
	} {
		if !errdefs.IsUnavailable(err) {
			t.Errorf("%s after the hand-over: %v", what, err)
		}
	}
}

// TestHandOverEndsWithRun ends a draining process: its clients are told.
func TestHandOverEndsWithRun(t *testing.T) {
	t.Parallel()
	l := &line{dir: t.TempDir()}
	p := newPumps(t, l.dir)
	stop := start(t, p)
	l.last.Store(p)
	r := request(t)
	out := openShim(t, open(t, p, r).GetStdout())
	result := join(t, p, r.GetContainer().GetId(), out, pump.Streams{Stdout: io.Discard})
	l.pass(t, nil)
	stop()
	if err := result(); !errdefs.IsUnavailable(err) {
		t.Errorf("the client is told %v", err)
	}
	out.close()
	mustClose(t, l.last.Load(), r.GetContainer().GetId())
}

// TestHandOverHangs has a pump that cannot stop because its log hangs.
func TestHandOverHangs(t *testing.T) {
	t.Parallel()
	entered, free := make(chan struct{}, 1), make(chan struct{})
	p, err := pump.Tuned(t.TempDir(), pump.Config{PipeSize: 1 << 20}, discard, 0, 0, func(at string) {
		if at == "begun" {
			entered <- struct{}{}
			<-free
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	start(t, p)
	r := request(t)
	openShim(t, open(t, p, r).GetStdout()).write(t, "x\n")
	<-entered
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, errors.New("patience has ended"))
	defer cancel()
	if _, err := p.HandOver(ctx, &line{}); !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "patience") {
		t.Errorf("hand-over says %v", err)
	}
	close(free)
}

func impatient(t *testing.T, dir string) *pump.Pumps {
	t.Helper()
	p, err := pump.Impatient(dir, discard)
	if err != nil {
		t.Fatal(err)
	}
	start(t, p)
	return p
}
