package metrics_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stateDir is one with a path that is short enough for sockets.
func stateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "trivet-") //nolint:usetesting // a socket's path must fit in 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// get asks the process behind a socket.
func get(t *testing.T, socket, path string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	response, err := client.Get("http://member" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestServe(t *testing.T) {
	t.Parallel()
	state := stateDir(t)
	listener, socket, err := metrics.Listen(state, "net-sync")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(socket.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket is %v, %v", info, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- metrics.Serve(ctx, listener, metrics.New(), slog.New(slog.DiscardHandler)) }()
	code, text := get(t, socket.Path, metrics.Path)
	for _, name := range []string{"go_goroutines ", "process_open_fds ", "trivet_build_info{"} {
		if code != http.StatusOK || !strings.Contains(text, "\n"+name) {
			t.Errorf("%d, without %s:\n%s", code, name, text)
		}
	}
	if code, _ := get(t, socket.Path, "/debug/pprof"); code != http.StatusNotFound {
		t.Errorf("another path: %d", code)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := errors.Join(socket.Remove(), socket.Remove()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(socket.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("socket is left: %v", err)
	}
}

// TestSockets: what has been killed is cleaned up, what runs is not touched.
func TestSockets(t *testing.T) {
	t.Parallel()
	state := stateDir(t)
	bind := func(name string) string {
		t.Helper()
		path := filepath.Join(state, name)
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		return path
	}
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	gone := strconv.Itoa(ended.Process.Pid)
	if err := unix.Kill(ended.Process.Pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Fatalf("pid %s is in use again: %v", gone, err)
	}
	dead, other := bind("streamer-"+gone+"-metrics.sock"), bind("runtime-"+gone+"-metrics.sock")
	draining := bind("streamer-1-metrics.sock")
	for _, name := range []string{"streamer-metrics.sock", "-5-metrics.sock", "streamer-01-metrics.sock", "streamer-0-metrics.sock", "streamer.sock"} {
		bind(name)
	}
	if err := os.WriteFile(filepath.Join(state, "streamer-7-metrics.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	listener, own, err := metrics.Listen(state, "streamer")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	found, err := metrics.Sockets(state)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]metrics.Socket)
	for _, socket := range found {
		got[socket.Path] = socket
	}
	if len(got) != 3 || got[other].Member != "runtime" || got[draining].PID != 1 || got[own.Path].PID != os.Getpid() {
		t.Errorf("sockets are %v", found)
	}
	if _, err := os.Lstat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the dead process's socket: %v", err)
	}
	if _, err := metrics.Sockets(state + "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}
