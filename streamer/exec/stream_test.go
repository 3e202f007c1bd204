package exec_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/exec"
)

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func execRequest(cmd ...string) *streamerv1.PrepareExecRequest {
	return &streamerv1.PrepareExecRequest{Container: &streamerv1.Container{Id: container}, Cmd: cmd}
}

func TestStreamBothWays(t *testing.T) {
	t.Parallel()
	f := start(t, limits)
	input := make([]byte, 3<<20)
	_, _ = rand.Read(input)
	var out, failed bytes.Buffer
	code, err := f.Stream(t.Context(), execRequest(shell("cat; echo end >&2; exit 4")...),
		exec.Streams{Stdin: bytes.NewReader(input), Stdout: &out, Stderr: &failed})
	if err != nil || code != 4 {
		t.Fatalf("code %d, error %v", code, err)
	}
	if !bytes.Equal(out.Bytes(), input) || failed.String() != "end\n" {
		t.Errorf("%d bytes of %d came back, stderr %q", out.Len(), len(input), failed.String())
	}
	f.clean(t)
	if len(f.fake.closed) != 1 {
		t.Errorf("stdin was closed %d times", len(f.fake.closed))
	}
}

// TestShimOpensLate: a shim opens its end of stdin when the command runs
// already. The input waits for it.
func TestShimOpensLate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		input          string
		late, lateHold time.Duration
	}{
		{"", 100 * time.Millisecond, 0},
		{"not lost", 100 * time.Millisecond, 0},
		{"nor here", 0, 100 * time.Millisecond},
	} {
		input := test.input
		f := start(t, limits)
		f.fake.late, f.fake.lateHold = test.late, test.lateHold
		var out bytes.Buffer
		code, err := f.Stream(t.Context(), execRequest(shell("cat; exit 3")...), exec.Streams{Stdin: strings.NewReader(input), Stdout: &out})
		if err != nil || code != 3 || out.String() != input {
			t.Errorf("code %d, output %q, error %v", code, out.String(), err)
		}
		f.clean(t)
	}
}

// TestStreamWithoutReader: input that the command does not want is taken from
// the client all the same.
func TestStreamWithoutReader(t *testing.T) {
	t.Parallel()
	f := start(t, limits)
	input := &counting{left: 2 << 20}
	code, err := f.Stream(t.Context(), execRequest(shell("exec <&-; sleep 0.1; exit 2")...), exec.Streams{Stdin: input, Stdout: discard{}})
	if err != nil || code != 2 {
		t.Fatalf("code %d, error %v", code, err)
	}
	if err := f.stop(); err != nil { // waits for the copy
		t.Fatal(err)
	}
	if input.left != 0 {
		t.Errorf("%d bytes were left unread", input.left)
	}
	f.clean(t)
}

type counting struct{ left int }

func (c *counting) Read(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.left -= n
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func TestStreamClientLeaves(t *testing.T) {
	t.Parallel()
	f := start(t, limits)
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	read, write := io.Pipe()
	_, err := f.Stream(ctx, execRequest(shell("echo up; exec sleep 1000")...), exec.Streams{
		Stdin: read, Stdout: onWrite(func() { cancel(gone) }),
	})
	if !errors.Is(err, gone) {
		t.Errorf("error is %v", err)
	}
	_ = write.Close()
	f.clean(t)
}

type onWrite func()

func (w onWrite) Write(p []byte) (int, error) { w(); return len(p), nil }

// TestStreamSlowClient: output is not cut because the client is slow.
func TestStreamSlowClient(t *testing.T) {
	t.Parallel()
	f := start(t, exec.Config{OutputLimit: 1, Drain: 50 * time.Millisecond})
	slow := &slowWriter{pause: 20 * time.Millisecond}
	code, err := f.Stream(t.Context(), execRequest(shell("head -c 1000000 /dev/zero")...), exec.Streams{Stdout: slow})
	if err != nil || code != 0 || slow.n != 1000000 {
		t.Errorf("%d bytes, code %d, error %v", slow.n, code, err)
	}
	f.clean(t)
}

type slowWriter struct {
	pause time.Duration
	n     int
}

func (w *slowWriter) Write(p []byte) (int, error) {
	time.Sleep(w.pause)
	w.n += len(p)
	return len(p), nil
}

func TestStreamBrokenOutputDoesNotBlockCommand(t *testing.T) {
	t.Parallel()
	f := start(t, limits)
	code, err := f.Stream(t.Context(), execRequest(shell("head -c 5000000 /dev/zero; exit 9")...), exec.Streams{Stdout: brokenWriter{}})
	if err != nil || code != 9 {
		t.Errorf("code %d, error %v", code, err)
	}
	f.clean(t)
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestStreamLeftChild(t *testing.T) {
	t.Parallel()
	f := start(t, limits)
	begun := time.Now()
	code, err := f.Stream(t.Context(), execRequest(shell("sleep 2 & exit 1")...), exec.Streams{Stdout: discard{}})
	if err != nil || code != 1 {
		t.Errorf("code %d, error %v", code, err)
	}
	if took := time.Since(begun); took > 1900*time.Millisecond {
		t.Errorf("took %v", took)
	}
	f.clean(t)
}

func TestStreamResizes(t *testing.T) {
	t.Parallel()
	f := start(t, limits)
	sizes := make(chan remotecommand.TerminalSize)
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() {
		request := execRequest("/bin/cat")
		request.Tty = true
		_, err := f.Stream(t.Context(), request, exec.Streams{TTY: true, Stdin: read, Stdout: discard{}, Resize: sizes})
		done <- err
	}()
	for _, size := range []remotecommand.TerminalSize{{Width: 80, Height: 25}, {}, {Width: 132, Height: 43}, {}} {
		sizes <- size
	}
	_ = write.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if want := [][2]uint16{{80, 25}, {132, 43}}; !slices.Equal(f.fake.sizes, want) {
		t.Errorf("sizes are %v", f.fake.sizes)
	}
	f.clean(t)
}

func TestStreamWithoutStreams(t *testing.T) {
	t.Parallel()
	f := start(t, limits)
	code, err := f.Stream(t.Context(), execRequest(shell("echo nobody hears; exit 6")...), exec.Streams{Stdin: strings.NewReader("")})
	if err != nil || code != 6 {
		t.Errorf("code %d, error %v", code, err)
	}
	f.clean(t)
}
