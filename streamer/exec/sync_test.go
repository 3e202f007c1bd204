package exec_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/durationpb"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/exec"
)

func syncRequest(timeout time.Duration, cmd ...string) *streamerv1.ExecSyncRequest {
	return &streamerv1.ExecSyncRequest{
		Container: &streamerv1.Container{Id: container}, Cmd: cmd, Timeout: durationpb.New(timeout),
	}
}

func shell(script string) []string { return []string{"/bin/sh", "-c", script} }

func TestSyncReturnsOutputAndCode(t *testing.T) {
	t.Parallel()
	f := start(t, limits)
	reply, err := f.Sync(t.Context(), syncRequest(0, shell("echo out; echo err >&2; exit 7")...))
	if err != nil {
		t.Fatal(err)
	}
	if string(reply.GetStdout()) != "out\n" || string(reply.GetStderr()) != "err\n" || reply.GetExitCode() != 7 || reply.GetTruncated() {
		t.Errorf("reply is %v", reply)
	}
	f.clean(t)
}

func TestSyncCapsOutput(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		bytes     int
		truncated bool
	}{{1000, false}, {1001, true}, {5 << 20, true}} {
		f := start(t, exec.Config{OutputLimit: 1000, Drain: time.Second})
		reply, err := f.Sync(t.Context(), syncRequest(0, shell(fmt.Sprintf("head -c %d /dev/zero", test.bytes))...))
		if err != nil {
			t.Fatal(err)
		}
		if len(reply.GetStdout()) != 1000 || reply.GetTruncated() != test.truncated {
			t.Errorf("%d bytes gave %d, truncated %t", test.bytes, len(reply.GetStdout()), reply.GetTruncated())
		}
		f.clean(t)
	}
}

// TestSyncReplyFits: both outputs together are what a kubelet takes.
func TestSyncReplyFits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ stdout, stderr, wantOut, wantErr int }{
		{20 << 20, 10, 16<<20 - 4<<10 - 10, 10},
		{10, 20 << 20, 10, 16<<20 - 4<<10 - 10},
		{10 << 20, 9 << 20, 8<<20 - 2<<10, 8<<20 - 2<<10},
		{8 << 20, 7 << 20, 8 << 20, 7 << 20},
	} {
		f := start(t, exec.Config{OutputLimit: 16 << 20, Drain: time.Second})
		reply, err := f.Sync(t.Context(), syncRequest(0, shell(fmt.Sprintf("head -c %d /dev/zero; head -c %d /dev/zero >&2", test.stdout, test.stderr))...))
		if err != nil {
			t.Fatal(err)
		}
		cut := test.wantOut < test.stdout || test.wantErr < test.stderr
		if len(reply.GetStdout()) != test.wantOut || len(reply.GetStderr()) != test.wantErr || reply.GetTruncated() != cut {
			t.Errorf("%+v: got %d and %d, truncated %t", test, len(reply.GetStdout()), len(reply.GetStderr()), reply.GetTruncated())
		}
		f.clean(t)
	}
}

// TestSyncTimeout: the command, its child and what holds its streams end.
func TestSyncTimeout(t *testing.T) {
	t.Parallel()
	f := start(t, limits)
	begun := time.Now()
	_, err := f.Sync(t.Context(), syncRequest(100*time.Millisecond, "/bin/sleep", "1000"))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "100ms") {
		t.Fatalf("error is %v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	f.clean(t)
}

func TestSyncCallerLeaves(t *testing.T) {
	t.Parallel()
	stopping := errors.New("the streamer is stopping")
	for want, cause := range map[error]error{context.Canceled: nil, stopping: stopping} {
		t.Run(want.Error(), func(t *testing.T) {
			t.Parallel()
			f := start(t, limits)
			ctx, cancel := context.WithCancelCause(t.Context())
			marker := filepath.Join(t.TempDir(), "up")
			go func() {
				defer cancel(cause)
				eventually(t, "command runs", func() error { _, err := os.Stat(marker); return err })
			}()
			_, err := f.Sync(ctx, syncRequest(0, shell("> "+marker+"; exec sleep 1000")...))
			if !errors.Is(err, want) {
				t.Fatalf("error is %v", err)
			}
			f.clean(t)
		})
	}
}

// TestSyncDaemonizedChild: a child that keeps stdout open does not keep the
// caller waiting.
func TestSyncDaemonizedChild(t *testing.T) {
	t.Parallel()
	f := start(t, limits)
	begun := time.Now()
	reply, err := f.Sync(t.Context(), syncRequest(0, shell("echo before; sleep 2 & exit 3")...))
	if err != nil || reply.GetExitCode() != 3 || string(reply.GetStdout()) != "before\n" {
		t.Fatalf("reply %v, error %v", reply, err)
	}
	if took := time.Since(begun); took < limits.Drain || took > 1900*time.Millisecond {
		t.Errorf("took %v, the drain limit is %v", took, limits.Drain)
	}
	f.clean(t)
}

func TestSyncChattyChildIsCutOff(t *testing.T) {
	t.Parallel()
	f := start(t, exec.Config{OutputLimit: 100, Drain: 200 * time.Millisecond})
	begun := time.Now()
	stop := filepath.Join(t.TempDir(), "stop")
	defer func() { _ = os.WriteFile(stop, nil, 0o600) }()
	_, err := f.Sync(t.Context(), syncRequest(0, shell("(while [ ! -e "+stop+" ]; do echo more || exit; done) & exit 0")...))
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 1900*time.Millisecond {
		t.Errorf("took %v", took)
	}
	f.clean(t)
}

// TestFailureLeavesNothing lets every step fail.
func TestFailureLeavesNothing(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken on purpose")
	for _, step := range []string{"Exec", "Start", "Started", "Wait"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			f := start(t, limits)
			f.fake.setFailure(step, broken)
			if _, err := f.Sync(t.Context(), syncRequest(0, "/bin/sleep", "1000")); !errors.Is(err, broken) {
				t.Errorf("sync: error is %v", err)
			}
			if _, err := f.Stream(t.Context(), execRequest("/bin/sleep", "1000"), exec.Streams{Stdin: strings.NewReader("x"), Stdout: discard{}}); !errors.Is(err, broken) {
				t.Errorf("stream: error is %v", err)
			}
			f.fake.setFailure(step, nil)
			f.clean(t)
		})
	}
}

func TestCommandThatCannotStart(t *testing.T) {
	t.Parallel()
	f := start(t, limits)
	_, err := f.Sync(t.Context(), syncRequest(0, "/no/such/command"))
	if err == nil || !strings.Contains(err.Error(), "OCI runtime exec failed") {
		t.Errorf("error is %v", err)
	}
	f.clean(t)
}

// TestContainerdAwayAtTheEnd: what cannot be released is released later.
func TestContainerdAwayAtTheEnd(t *testing.T) {
	t.Parallel()
	f := start(t, limits)
	f.fake.setFailure("Delete", errdefs.ErrUnavailable)
	if _, err := f.Sync(t.Context(), syncRequest(0, "/bin/true")); err != nil {
		t.Fatal(err)
	}
	if f.fake.count() != 1 {
		t.Fatal("the process is gone")
	}
	f.fake.setFailure("Delete", nil)
	f.clean(t)
}

func TestNoCommandAfterStop(t *testing.T) {
	t.Parallel()
	f := start(t, limits)
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Sync(t.Context(), syncRequest(0, "/bin/true")); !errdefs.IsUnavailable(err) {
		t.Errorf("error is %v", err)
	}
	if left, _ := os.ReadDir(f.dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestChildOutlivesLateRelease: when an exited command is released late, the
// daemon that it has started lives on.
func TestChildOutlivesLateRelease(t *testing.T) {
	t.Parallel()
	f := start(t, limits)
	f.fake.setFailure("Delete", errdefs.ErrUnavailable)
	lives := filepath.Join(t.TempDir(), "lives")
	if _, err := f.Sync(t.Context(), syncRequest(0, shell("(sleep 1; > "+lives+") >/dev/null 2>&1 &")...)); err != nil {
		t.Fatal(err)
	}
	f.fake.setFailure("Delete", nil)
	f.clean(t)
	if f.fake.killed != 0 {
		t.Errorf("an exited process was killed")
	}
	eventually(t, "daemon lives", func() error { _, err := os.Stat(lives); return err })
}
