package shimio_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/streamer/shimio"
	"github.com/trivet-cri/trivet/streamer/shimio/shimiotest"
)

func TestMain(m *testing.M) {
	shimio.SetQuiet(500 * time.Millisecond) // for busy machines
	goleak.VerifyTestMain(m)
}

// bench has the FIFOs of one container, with a reader of the output.
type bench struct {
	t     *testing.T
	ctx   context.Context
	shim  *shimiotest.Shim
	dir   string
	stdin *os.File

	mu     sync.Mutex
	output strings.Builder
	change chan struct{}
	end    chan struct{} // closed at the end of stdout
	told   []string      // streams whose end was told
}

func newBench(t *testing.T, protocol string) *bench {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	b := &bench{
		t: t, ctx: ctx, shim: shimiotest.New(t, protocol), dir: t.TempDir(),
		change: make(chan struct{}, 1), end: make(chan struct{}),
	}
	for _, name := range []string{shimio.Stdin, shimio.Stdout} {
		if err := unix.Mkfifo(filepath.Join(b.dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.stdin = b.fifo(shimio.Stdin, os.O_RDWR)
	b.read(b.fifo(shimio.Stdout, os.O_RDONLY))
	return b
}

func (b *bench) fifo(name string, flag int) *os.File {
	b.t.Helper()
	f, err := os.OpenFile(filepath.Join(b.dir, name), flag|unix.O_NONBLOCK, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = f.Close() })
	return f
}

// read collects the output. The first byte tells that there is a writer.
func (b *bench) read(from *os.File) {
	var reader sync.WaitGroup
	b.t.Cleanup(reader.Wait)
	b.t.Cleanup(func() { _ = from.Close() })
	reader.Go(func() {
		defer close(b.end)
		buffer := make([]byte, 64<<10)
		for some := false; ; {
			n, err := from.Read(buffer)
			if n > 0 {
				some = true
				b.mu.Lock()
				b.output.Write(buffer[:n])
				b.mu.Unlock()
				select {
				case b.change <- struct{}{}:
				default:
				}
			}
			if errors.Is(err, io.EOF) && !some {
				time.Sleep(time.Millisecond) // nobody has opened it yet
				continue
			}
			if err != nil {
				return
			}
		}
	})
}

func (b *bench) open(edits ...func(*shimio.Plan)) (*shimio.Bridge, error) {
	endpoint, err := shimio.Parse(b.shim.Address)
	if err != nil {
		b.t.Fatal(err)
	}
	plan := shimio.Plan{
		Endpoint: endpoint, ID: "c", Dir: b.dir, Streams: []string{shimio.Stdin, shimio.Stdout}, Log: slog.New(slog.DiscardHandler),
		Ended: func(name string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.told = append(b.told, name)
		},
	}
	for _, edit := range edits {
		edit(&plan)
	}
	bridge, err := shimio.Open(b.ctx, plan)
	if err == nil {
		b.t.Cleanup(bridge.Close)
	}
	return bridge, err
}

func (b *bench) mustOpen(edits ...func(*shimio.Plan)) *shimio.Bridge {
	b.t.Helper()
	bridge, err := b.open(edits...)
	if err != nil {
		b.t.Fatal(err)
	}
	return bridge
}

func resumed(p *shimio.Plan) { p.Resume = true }

func (b *bench) said() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.output.String()
}

// await waits until the output is want.
func (b *bench) await(want string) {
	b.t.Helper()
	for b.said() != want {
		select {
		case <-b.change:
		case <-b.ctx.Done():
			b.t.Fatalf("output has %d bytes, not the %d that it should have, and ends with %q", len(b.said()), len(want), tail(b.said()))
		}
	}
}

func tail(s string) string { return s[max(0, len(s)-40):] }

// changed has a token when there may be more output.
func (b *bench) changed() <-chan struct{} { return b.change }

// until waits for a channel.
func (b *bench) until(what string, done <-chan struct{}) {
	b.t.Helper()
	select {
	case <-done:
	case <-b.ctx.Done():
		b.t.Fatalf("waited in vain for %s", what)
	}
}

func (b *bench) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func lines(from, to int) string {
	var text strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&text, "line %d\n", i)
	}
	return text.String()
}

// each runs a test for both protocols.
func each(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	for _, protocol := range []string{"ttrpc", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			test(t, newBench(t, protocol))
		})
	}
}

func TestOutput(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		bridge := b.mustOpen()
		if url := bridge.URL(shimio.Stdout, true); url != b.shim.Address+"?streaming_id=c-stdout" || bridge.URL(shimio.Stderr, false) != "" {
			t.Errorf("url is %q", url)
		}
		text := lines(0, 50000)
		out := b.shim.Of("c-stdout")
		out.Write(text)
		b.await(text)
		out.End()
		b.until("the fifo's end", b.end)
		bridge.Close()
		if !slices.Equal(b.told, []string{shimio.Stdout}) {
			t.Errorf("told the end of %v", b.told)
		}
	})
}

// TestBroken: connections that break are made again, and are no end.
func TestBroken(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.mustOpen()
		out, in := b.shim.Of("c-stdout"), b.shim.Of("c-stdin")
		for i := range 3 {
			out.Write(lines(i, i+1))
			_, err := b.stdin.WriteString(lines(i, i+1))
			b.ok(err)
			b.await(lines(0, i+1))
			b.ok(in.Await(b.ctx, func(got string, _ bool) bool { return got == lines(0, i+1) }))
			b.shim.Break()
			b.ok(out.AwaitOpened(b.ctx, i+2))
			b.ok(in.AwaitOpened(b.ctx, i+2))
		}
		b.shim.Stop()
		out.Write(lines(3, 4))
		b.shim.Start(t)
		b.await(lines(0, 4))
		if len(b.told) > 0 {
			t.Errorf("told the end of %v", b.told)
		}
	})
}

// TestSettle: bridges that follow each other lose nothing of a busy stream.
func TestSettle(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, b *bench) {
		out := b.shim.Of("c-stdout")
		between := b.fifo(shimio.Stdout, os.O_WRONLY) // or the reader would see an end
		bridge := b.mustOpen()
		const rounds, many = 3, 30000 // more than a window
		for i := range rounds {
			before := len(b.said())
			out.Write(lines(i*many, (i+1)*many))
			for len(b.said()) == before {
				b.until("output", b.changed())
			}
			bridge.Settle()
			bridge.Wait()
			bridge.Close()
			bridge = b.mustOpen(resumed)
		}
		b.await(lines(0, rounds*many))
		b.ok(between.Close())
		out.End()
		b.until("the fifo's end", b.end)
	})
}

// TestNoWindow: some shims send whatever they have.
func TestNoWindow(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, b *bench) {
		out := b.shim.Of("c-stdout")
		out.IgnoreWindow()
		out.Write(lines(0, 50000))
		b.mustOpen()
		b.await(lines(0, 50000))
	})
}

// TestSettleFull: what is under way finds room in a FIFO that nobody reads.
func TestSettleFull(t *testing.T) {
	t.Parallel()
	b := newBench(t, "ttrpc")
	path := filepath.Join(b.dir, shimio.Stderr)
	b.ok(unix.Mkfifo(path, 0o600))
	const capacity = 1 << 20 // which not everybody may enlarge
	reader := b.fifo(shimio.Stderr, os.O_RDONLY)
	if _, err := unix.FcntlInt(reader.Fd(), unix.F_SETPIPE_SZ, capacity); err != nil {
		t.Fatal(err)
	}
	b.ok(unix.SetNonblock(int(reader.Fd()), true))
	bridge := b.mustOpen(func(p *shimio.Plan) { p.Streams, p.Room = []string{shimio.Stderr}, true })
	out := b.shim.Of("c-stderr")
	out.Write(lines(0, 200000))
	for last := -1; last != out.Unsent(); time.Sleep(100 * time.Millisecond) {
		last = out.Unsent()
	}
	bridge.Settle()
	bridge.Wait()
	rest := out.Unsent()
	got, err := io.ReadAll(reader)
	b.ok(err)
	if all := lines(0, 200000); string(got) != all[:len(all)-rest] {
		t.Errorf("fifo has %d of %d bytes that were sent", len(got), len(all)-rest)
	}
}

func TestInput(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		bridge := b.mustOpen()
		in := b.shim.Of("c-stdin")
		_, err := b.stdin.WriteString(lines(0, 5000))
		b.ok(err)
		b.ok(in.Await(b.ctx, func(got string, _ bool) bool { return got == lines(0, 5000) }))
		bridge.Settle()
		bridge.Wait()
		_, err = b.stdin.WriteString(lines(5000, 5010)) // for the next
		b.ok(err)
		next := b.mustOpen(resumed)
		b.ok(b.stdin.Close())
		b.until("the end of input", next.InputEnded())
		b.ok(in.Await(b.ctx, func(got string, ended bool) bool { return ended && got == lines(0, 5010) }))
	})
}

// TestExpire: a container has exited whose shim is gone.
func TestExpire(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		bridge := b.mustOpen()
		b.shim.Of("c-stdout").Write("last words")
		b.await("last words")
		b.shim.Stop()
		bridge.Expire()
		b.until("the fifo's end", b.end)
		b.until("the end of input", bridge.InputEnded())
		b.shim.Start(t)
	})
}

// TestForgotten: a shim that does not know a stream any more has ended it.
func TestForgotten(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.mustOpen()
		b.shim.Of("c-stdout").Write("last words")
		b.await("last words")
		b.shim.Refuse(fmt.Errorf("stream: %w", errdefs.ErrNotFound))
		b.shim.Break()
		b.until("the fifo's end", b.end)
	})
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		b.shim.Refuse(errdefs.ErrNotImplemented)
		if _, err := b.open(); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "io_type") {
			t.Errorf("without the service: %v", err)
		}
		b.shim.Stop()
		if _, err := b.open(); !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), b.shim.Address) {
			t.Errorf("without a shim: %v", err)
		}
		ctx, cancel := context.WithCancel(b.ctx)
		cancel()
		b.ctx = ctx
		if _, err := b.open(); err == nil {
			t.Error("opened for nobody")
		}
		b.shim.Start(t)
	})
	b := newBench(t, "ttrpc")
	b.shim.Address = "ttrpc+vsock://4294967294:1"
	if _, err := b.open(); !errdefs.IsUnavailable(err) {
		t.Errorf("without a virtual machine: %v", err)
	}
}
