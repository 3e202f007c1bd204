package exec_test

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/durationpb"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/exec"
	"github.com/trivet-cri/trivet/streamer/shimio/shimiotest"
)

// startStreaming is a fixture whose shim serves the streams of commands.
func startStreaming(t *testing.T) (*fixture, *shimiotest.Shim, *streamerv1.Container) {
	t.Helper()
	shim, fake := shimiotest.New(t, "ttrpc"), newFake()
	fake.shim = shim
	return startOn(t, fake, t.TempDir(), limits), shim, &streamerv1.Container{Id: container, StreamEndpoint: shim.Address}
}

func TestStreamed(t *testing.T) {
	t.Parallel()
	f, _, in := startStreaming(t)
	input := make([]byte, 1<<20)
	_, _ = rand.Read(input)
	var out, failed bytes.Buffer
	r := execRequest(shell("cat; echo end >&2; exit 4")...)
	r.Container = in
	code, err := f.Stream(t.Context(), r, exec.Streams{Stdin: bytes.NewReader(input), Stdout: &out, Stderr: &failed})
	if err != nil || code != 4 {
		t.Fatalf("code %d, error %v", code, err)
	}
	if !bytes.Equal(out.Bytes(), input) || failed.String() != "end\n" {
		t.Errorf("%d bytes of %d came back, stderr %q", out.Len(), len(input), failed.String())
	}
	f.clean(t)
	if len(f.fake.closed) > 1 { // the command may end before
		t.Errorf("stdin was closed %d times", len(f.fake.closed))
	}
}

func TestSyncStreamed(t *testing.T) {
	t.Parallel()
	f, shim, in := startStreaming(t)
	for range 3 {
		got, err := f.Sync(t.Context(), &streamerv1.ExecSyncRequest{Container: in, Cmd: shell("echo out; echo err >&2; exit 3")})
		if err != nil || string(got.GetStdout()) != "out\n" || string(got.GetStderr()) != "err\n" || got.GetExitCode() != 3 {
			t.Fatalf("%v, error %v", got, err)
		}
	}
	_, err := f.Sync(t.Context(), &streamerv1.ExecSyncRequest{
		Container: in, Cmd: shell("exec sleep 100"), Timeout: durationpb.New(200 * time.Millisecond),
	})
	if err == nil || !strings.Contains(err.Error(), "200ms") {
		t.Errorf("a command that takes too long: %v", err)
	}
	f.clean(t)
	shim.Stop()
	if _, err := f.Sync(t.Context(), &streamerv1.ExecSyncRequest{Container: in, Cmd: shell("true")}); !errdefs.IsUnavailable(err) {
		t.Errorf("without a shim: %v", err)
	}
	f.clean(t)
	shim.Start(t)
}
