package pump_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/pump"
	"github.com/trivet-cri/trivet/streamer/shimio/shimiotest"
)

// streamed is a request of a container whose shim serves its streams.
func streamed(t *testing.T, s *shimiotest.Shim) *streamerv1.OpenIORequest {
	t.Helper()
	r := request(t)
	r.Container.StreamEndpoint = s.Address
	r.Stdin, r.StdinOnce = true, true
	return r
}

// logged waits until the log has n records, and returns their texts.
func logged(t *testing.T, r *streamerv1.OpenIORequest, n int) (texts []string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d records", n), func() bool { return len(records(t, r.GetLogPath())) >= n })
	for _, one := range records(t, r.GetLogPath()) {
		texts = append(texts, one.stream+" "+one.text)
	}
	return texts
}

// connected waits until a stream was connected n times: what a shim sends just
// when a connection ends is lost.
func connected(t *testing.T, s *shimiotest.Stream, n int) {
	t.Helper()
	if err := s.AwaitOpened(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

// TestStreamed follows a container over restarts and hand-overs: every line
// is logged once, and the end of one stream is not forgotten.
func TestStreamed(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(t *testing.T, l *line, stop func()) *pump.Pumps{
		"restart": func(t *testing.T, l *line, stop func()) *pump.Pumps {
			stop()
			return newPumps(t, l.dir)
		},
		"hand over": func(t *testing.T, l *line, _ func()) *pump.Pumps {
			if _, err := l.last.Load().HandOver(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			return newPumps(t, l.dir)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shim, l := shimiotest.New(t, "ttrpc"), &line{dir: t.TempDir()}
			r := streamed(t, shim)
			id := r.GetContainer().GetId()
			p := newPumps(t, l.dir)
			stop := start(t, p)
			l.last.Store(p)
			urls := open(t, p, r)
			for stream, url := range map[string]string{"stdin": urls.GetStdin(), "stdout": urls.GetStdout(), "stderr": urls.GetStderr()} {
				if url != shim.Address+"?streaming_id="+id+"-"+stream {
					t.Errorf("%s is %q", stream, url)
				}
			}
			keeper, err := os.OpenFile(filepath.Join(l.dir, id, "stdout"), os.O_RDONLY|syscall.O_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = keeper.Close() }()
			out := shim.Of(id + "-stdout")
			var want []string
			for i := range 4 {
				out.Write(fmt.Sprintf("line %d\nand ", i))
				want = append(want, "stdout "+strings.Repeat("and ", min(i, 1))+fmt.Sprintf("line %d", i))
				logged(t, r, len(want))
				if i == 1 {
					shim.Of(id + "-stderr").Write("last words")
					shim.Of(id + "-stderr").End()
					want = append(want, "stderr last words")
					logged(t, r, len(want))
				}
				p = next(t, l, stop)
				stop = start(t, p)
				l.last.Store(p)
				connected(t, out, i+2)
			}
			out.Write("the end\n")
			out.End()
			if drained, err := p.Close(t.Context(), id, 20*time.Second); err != nil || !drained {
				t.Errorf("drained %v, error %v", drained, err)
			}
			want = append(want, "stdout and the end")
			if got := logged(t, r, len(want)); strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("log has %q, want %q", got, want)
			}
		})
	}
}

// TestStreamedStdin: the shim has all of a client's input, and its end, before
// it is told to close the container's stdin.
func TestStreamedStdin(t *testing.T) {
	t.Parallel()
	shim, p := shimiotest.New(t, "grpc"), run(t, t.TempDir())
	r := streamed(t, shim)
	id := r.GetContainer().GetId()
	open(t, p, r)
	in := shim.Of(id + "-stdin")
	input := strings.Repeat("0123456789", 20000)
	closed := false
	all := func(got string, ended bool) bool { return ended && got == input }
	err := p.Attach(t.Context(), id, pump.Streams{
		Stdin: strings.NewReader(input),
		CloseStdin: func(ctx context.Context) error {
			closed = true
			ctx, cancel := context.WithCancel(ctx)
			cancel() // it is so now
			return in.Await(ctx, all)
		},
	})
	if err != nil || !closed {
		t.Errorf("closed %v, error %v", closed, err)
	}
	shim.Of(id + "-stdout").End()
	shim.Of(id + "-stderr").End()
	mustClose(t, p, id)
}

// TestStreamedShimDies: a shim that is gone holds up no container that has
// exited, and one that cannot be reached is an error of the start.
func TestStreamedShimDies(t *testing.T) {
	t.Parallel()
	shim, p := shimiotest.New(t, "ttrpc"), run(t, t.TempDir())
	r := streamed(t, shim)
	id := r.GetContainer().GetId()
	open(t, p, r)
	shim.Of(id + "-stdout").Write("last words\n")
	logged(t, r, 1)
	shim.Stop()
	begun := time.Now()
	if drained, err := p.Close(t.Context(), id, time.Minute); err != nil || !drained || time.Since(begun) > 30*time.Second {
		t.Errorf("drained %v, error %v, after %v", drained, err, time.Since(begun))
	}
	if _, err := p.Open(t.Context(), r); !errdefs.IsUnavailable(err) {
		t.Errorf("open without a shim: %v", err)
	}
	if _, ok := p.Info(id); ok {
		t.Error("it is open")
	}
	shim.Start(t)
	r.Container.StreamEndpoint = "unix://" + shim.Address
	if _, err := p.Open(t.Context(), r); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "stream_endpoint") {
		t.Errorf("open with a malformed endpoint: %v", err)
	}
}

// TestStreamedAttach: a client that is attached to a streamed container sees
// its output over a hand-over.
func TestStreamedAttach(t *testing.T) {
	t.Parallel()
	shim := shimiotest.New(t, "ttrpc")
	l, p := newLine(t)
	r := streamed(t, shim)
	r.Tty, r.StdinOnce = true, false
	id := r.GetContainer().GetId()
	open(t, p, r)
	out, in := shim.Of(id+"-stdout"), shim.Of(id+"-stdin")
	from, keys := io.Pipe()
	var seen screen
	ended := make(chan error, 1)
	go func() { ended <- p.Attach(t.Context(), id, pump.Streams{Stdin: from, Stdout: &seen, TTY: true}) }()
	say := func(text string) {
		if _, err := keys.Write([]byte(text)); err != nil {
			t.Error(err)
		}
	}
	say("a") // the client is there
	for i, step := range []string{"a", "ab", "abc"} {
		if err := in.Await(t.Context(), func(got string, _ bool) bool { return got == step }); err != nil {
			t.Fatal(err)
		}
		out.Write(step + "\n")
		eventually(t, "the answer "+step, func() bool { return strings.HasSuffix(seen.String(), step+"\n") })
		if step != "abc" {
			l.pass(t, nil)
			connected(t, out, i+2)
			say(strings.TrimPrefix("abc", step)[:1])
		}
	}
	out.End()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	_ = keys.Close()
	mustClose(t, l.last.Load(), id)
}
