package keeper_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/streamer/keeper"
)

func TestMain(m *testing.M) {
	keeper.Main()
	goleak.VerifyTestMain(m)
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// await polls, for what is awaited happens in another process or the kernel.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// fifo makes a container's directory with one FIFO.
func fifo(t *testing.T, dir, id string) string {
	t.Helper()
	path := filepath.Join(dir, id, "stdout")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// isKept tells whether somebody reads a FIFO: only then can it be opened for
// writing without waiting.
func isKept(path string) bool {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err == nil
}

// say writes and goes, as a container that ends.
func say(t *testing.T, path, text string) {
	t.Helper()
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// unread opens a FIFO as a successor does and returns what is in it.
func unread(t *testing.T, path string) string {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	buffer := make([]byte, 100)
	n, err := unix.Read(fd, buffer)
	if err != nil && err != unix.EAGAIN {
		t.Fatal(err)
	}
	return string(buffer[:max(n, 0)])
}

func TestKeepsLastWords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	early := fifo(t, dir, "aa")
	ctx, stop := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- keeper.Run(ctx, dir, quiet()) }()
	await(t, "hold of a FIFO that was there", func() bool { return isKept(early) })

	late := fifo(t, dir, "bb")
	await(t, "hold of a new FIFO", func() bool { return isKept(late) })
	say(t, late, "last words")
	if got := unread(t, late); got != "last words" {
		t.Errorf("the successor reads %q", got)
	}

	// One that is made anew is another.
	if err := os.Remove(late); err != nil {
		t.Fatal(err)
	}
	late = fifo(t, dir, "bb")
	await(t, "hold of a FIFO in another's place", func() bool { return isKept(late) })

	// What is no container's is left alone, and a second keeper goes.
	odd := fifo(t, dir, "not-hexadecimal")
	if err := keeper.Run(ctx, dir, quiet()); err != nil {
		t.Errorf("a second keeper: %v", err)
	}
	if isKept(odd) {
		t.Error("a FIFO of nobody is kept")
	}

	stop()
	if err := <-result; err != nil {
		t.Error(err)
	}
	await(t, "end of the hold", func() bool { return !isKept(early) && !isKept(late) })
}

// TestIdle has nothing to keep from the beginning.
func TestIdle(t *testing.T) {
	t.Parallel()
	if err := keeper.Run(t.Context(), t.TempDir(), quiet()); err != nil || t.Context().Err() != nil {
		t.Error(err)
	}
}

func TestDirectoryMissing(t *testing.T) {
	t.Parallel()
	if err := keeper.Run(t.Context(), filepath.Join(t.TempDir(), "none"), quiet()); err == nil {
		t.Error("no error")
	}
}

// TestStarter starts a real keeper, which outlives the starter, is started
// again when it is killed, and has no child left unreaped.
func TestStarter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	starter := keeper.NewStarter(dir, quiet())
	result := make(chan error, 1)
	go func() { result <- starter.Run(ctx) }()
	path := fifo(t, dir, "cc")
	starter.Wake()
	await(t, "keeper", func() bool { return isKept(path) })
	first := process(t, dir)
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "second keeper", func() bool { now := process(t, dir); return now != 0 && now != first && isKept(path) })
	await(t, "end of the killed keeper, other than as a zombie", func() bool {
		_, err := os.Stat(filepath.Join("/proc", strconv.Itoa(first)))
		return err != nil
	})
	stop()
	if err := <-result; err != nil {
		t.Error(err)
	}
	await(t, "keeper without its starter", func() bool { return process(t, dir) != 0 && isKept(path) })
	await(t, "end of all keepers", func() bool {
		if pid := process(t, dir); pid != 0 {
			_ = unix.Kill(pid, unix.SIGTERM)
			_, _ = unix.Wait4(pid, nil, 0, nil) // its starter would
		}
		return !isKept(path)
	})
}

// process finds the keeper of dir, 0 if there is none.
func process(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && strings.HasPrefix(string(line), "trivet-keeper\x00") && strings.Contains(string(line), dir+"\x00") {
			pid, err := strconv.Atoi(e.Name())
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	return 0
}
