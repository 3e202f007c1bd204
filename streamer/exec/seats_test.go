package exec_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/exec"
)

// until is a command that runs until a file is there, and says that it runs
// by another.
func until(dir string) []string {
	return shell("> " + filepath.Join(dir, "up") + "; while [ ! -e " + filepath.Join(dir, "stop") + " ]; do sleep 0.01; done")
}

// TestSyncWaitsForSeat: with one seat, a second Sync waits, for its timeout
// at most, while sessions and other containers have their own.
func TestSyncWaitsForSeat(t *testing.T) {
	t.Parallel()
	f := start(t, exec.Config{OutputLimit: 1000, Drain: time.Second, PerContainer: 1})
	dir := t.TempDir()
	first := make(chan error, 1)
	go func() { _, err := f.Sync(t.Context(), syncRequest(0, until(dir)...)); first <- err }()
	eventually(t, "first runs", func() error { _, err := os.Stat(filepath.Join(dir, "up")); return err })

	_, err := f.Sync(t.Context(), syncRequest(50*time.Millisecond, "/bin/true"))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), container) {
		t.Errorf("error is %v", err)
	}
	if code, err := f.Stream(t.Context(), execRequest("/bin/true"), exec.Streams{Stdout: discard{}}); code != 0 || err != nil {
		t.Errorf("session: code %d, error %v", code, err)
	}
	other := &streamerv1.ExecSyncRequest{Container: &streamerv1.Container{Id: "fedcba9876543210"}, Cmd: []string{"/bin/true"}}
	if _, err := f.Sync(t.Context(), other); err != nil {
		t.Errorf("other container: %v", err)
	}
	second := make(chan error, 1)
	go func() { _, err := f.Sync(t.Context(), syncRequest(time.Minute, "/bin/true")); second <- err }()
	if err := os.WriteFile(filepath.Join(dir, "stop"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, done := range []chan error{first, second} {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	f.clean(t)
}

// TestStreamIsRefused: nobody waits for a session that may last for days.
func TestStreamIsRefused(t *testing.T) {
	t.Parallel()
	f := start(t, exec.Config{OutputLimit: 1000, Drain: time.Second, PerContainer: 1})
	dir := t.TempDir()
	first := make(chan error, 1)
	go func() {
		_, err := f.Stream(t.Context(), execRequest(until(dir)...), exec.Streams{Stdout: discard{}})
		first <- err
	}()
	eventually(t, "first runs", func() error { _, err := os.Stat(filepath.Join(dir, "up")); return err })
	_, err := f.Stream(t.Context(), execRequest("/bin/true"), exec.Streams{Stdout: discard{}})
	if !errdefs.IsResourceExhausted(err) || !strings.Contains(err.Error(), "max_execs_per_container") {
		t.Errorf("error is %v", err)
	}
	if _, err := f.Sync(t.Context(), syncRequest(time.Minute, "/bin/true")); err != nil {
		t.Errorf("a probe is held up by a session: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "stop"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
	if _, err := f.Stream(t.Context(), execRequest("/bin/true"), exec.Streams{Stdout: discard{}}); err != nil {
		t.Errorf("the seat was not given back: %v", err)
	}
	f.clean(t)
}
