package health_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trivet-cri/trivet/internal/listen"
	"github.com/trivet-cri/trivet/internal/rpc"
	"github.com/trivet-cri/trivet/launcher/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dial(t *testing.T, path string) *health.Probe {
	t.Helper()
	probe, err := health.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := probe.Close(); err != nil {
			t.Error(err)
		}
	})
	return probe
}

func check(t *testing.T, probe *health.Probe, limit time.Duration) (bool, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return probe.Check(ctx)
}

// TestLifeOfAMember follows a member from before its start to after its end
// with one probe.
func TestLifeOfAMember(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "member.sock")
	probe := dial(t, path)
	if serving, err := check(t, probe, time.Minute); serving || err == nil {
		t.Errorf("before the start: %v, %v", serving, err)
	}

	listener, err := listen.BindUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer(slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- server.ServeUntil(ctx, listener, time.Second) }()
	// Refusals may linger until the connection is up; answers then say no.
	for serving, err := check(t, probe, time.Minute); err != nil || serving; serving, err = check(t, probe, time.Minute) {
		if serving {
			t.Fatal("it serves before it is ready")
		}
	}
	server.SetReady()
	if serving, err := check(t, probe, time.Minute); !serving || err != nil {
		t.Errorf("when ready: %v, %v", serving, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if serving, err := check(t, probe, time.Minute); serving || err == nil {
		t.Errorf("after the end: %v, %v", serving, err)
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "member.sock")
	// The kernel accepts for it, nobody answers: a process that is stopped.
	silent, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	if serving, err := check(t, dial(t, path), 50*time.Millisecond); serving || err == nil {
		t.Errorf("answer %v, %v", serving, err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}
