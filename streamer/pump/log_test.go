package pump_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/pump"
)

func mustClose(t testing.TB, p *pump.Pumps, id string) {
	t.Helper()
	if drained, err := p.Close(t.Context(), id, time.Minute); err != nil || !drained {
		t.Fatalf("close: drained %t, %v", drained, err)
	}
}

// mustEnd ends a container's output and closes it.
func mustEnd(t *testing.T, p *pump.Pumps, r *streamerv1.OpenIORequest, shims ...*shim) {
	t.Helper()
	for _, s := range shims {
		s.close()
	}
	mustClose(t, p, r.GetContainer().GetId())
}

func TestFormat(t *testing.T) {
	t.Parallel()
	p := run(t, t.TempDir())
	r := request(t)
	r.MaxLogLineSize = 10
	if err := os.WriteFile(r.GetLogPath(), []byte("2026-01-02T15:04:05Z stdout F before\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	fifos := open(t, p, r)
	out, errs := openShim(t, fifos.GetStdout()), openShim(t, fifos.GetStderr())
	out.write(t, "short\n\r\n0123456789abc\nun")
	eventually(t, "pieces", func() bool { return len(records(t, r.GetLogPath())) == 5 })
	errs.write(t, "err\n")
	eventually(t, "stderr", func() bool { return len(records(t, r.GetLogPath())) == 6 })
	out.write(t, "finished")
	out.close()
	errs.close()
	mustClose(t, p, r.GetContainer().GetId())
	want := []record{
		{"stdout", "F", "before"},
		{"stdout", "F", "short"},
		{"stdout", "F", ""},
		{"stdout", "P", "0123456789"},
		{"stdout", "F", "abc"},
		{"stderr", "F", "err"},
		{"stdout", "P", "unfinished"},
	}
	if got := records(t, r.GetLogPath()); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("log is %v\nwant   %v", got, want)
	}
}

// TestEnd tells "no writer yet" from "no writer any more".
func TestEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newPumps(t, dir)
	stop := start(t, first)
	r := request(t)
	id := r.GetContainer().GetId()
	fifos := open(t, first, r)
	for range 2 { // a turn lies between the two
		if err := first.Reopen(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	out, errs := openShim(t, fifos.GetStdout()), openShim(t, fifos.GetStderr())
	errs.close() // silent to its end
	out.write(t, "line\nrest")
	eventually(t, "line", func() bool { return len(records(t, r.GetLogPath())) == 1 })
	if info, _ := first.Info(id); info.Ended {
		t.Error("ended with a writer")
	}
	stop()
	// The container ends while nobody reads; only its shim still holds the FIFO.
	if err := out.w.Close(); err != nil {
		t.Fatal(err)
	}
	second := run(t, dir)
	out.close()
	eventually(t, "unfinished line", func() bool { return len(records(t, r.GetLogPath())) == 2 })
	mustClose(t, second, id)
	if got := records(t, r.GetLogPath()); got[1] != (record{"stdout", "P", "rest"}) {
		t.Errorf("log is %v", got)
	}
	if _, ok := second.Info(id); ok {
		t.Error("still known")
	}
	mustClose(t, second, id) // idempotent
	if err := second.Reopen(t.Context(), id); !errdefs.IsNotFound(err) {
		t.Errorf("reopen: %v", err)
	}
	mustClose(t, second, strings.Repeat("0", 64))
	if _, err := second.Close(t.Context(), "../x", 0); !errdefs.IsInvalidArgument(err) {
		t.Errorf("close of a path: %v", err)
	}
}

// TestEndOnItsOwn needs no Close to see the end.
func TestEndOnItsOwn(t *testing.T) {
	t.Parallel()
	p := run(t, t.TempDir())
	r := request(t)
	fifos := open(t, p, r)
	silent, loud := openShim(t, fifos.GetStderr()), openShim(t, fifos.GetStdout())
	loud.write(t, "x")
	silent.close()
	loud.close()
	eventually(t, "end", func() bool { info, _ := p.Info(r.GetContainer().GetId()); return info.Ended })
	// Another task, after one that could not be created.
	out := openShim(t, open(t, p, r).GetStdout())
	out.write(t, "second\n")
	eventually(t, "line", func() bool { return len(records(t, r.GetLogPath())) == 2 })
}

// TestCloseWithWriter does not wait for a process that outlives the container.
func TestCloseWithWriter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := run(t, dir)
	r := request(t)
	out := openShim(t, open(t, p, r).GetStdout())
	out.write(t, "line\nunfinished")
	drained, err := p.Close(t.Context(), r.GetContainer().GetId(), time.Millisecond)
	if drained || err != nil {
		t.Errorf("drained %t, %v", drained, err)
	}
	if got := records(t, r.GetLogPath()); len(got) != 2 || got[1].text != "unfinished" {
		t.Errorf("log is %v", got)
	}
	if _, err := os.Stat(filepath.Join(dir, r.GetContainer().GetId())); !os.IsNotExist(err) {
		t.Errorf("folder: %v", err)
	}
}

// TestCloseWaits does not use the processor while an unfinished line and its
// writer keep Close waiting. It is alone, because it measures this process.
func TestCloseWaits(t *testing.T) {
	p := run(t, t.TempDir())
	r := request(t)
	out := openShim(t, open(t, p, r).GetStdout())
	out.write(t, "line\nunfinished")
	eventually(t, "line", func() bool { return len(records(t, r.GetLogPath())) == 1 })
	before := processorOf(t, os.Getpid())
	if drained, err := p.Close(t.Context(), r.GetContainer().GetId(), 500*time.Millisecond); drained || err != nil {
		t.Errorf("drained %t, %v", drained, err)
	}
	if used := processorOf(t, os.Getpid()) - before; used > 100*time.Millisecond {
		t.Errorf("waiting for 0.5 s used %v of processor", used)
	}
}

// TestLongLine has no newline for longer than any pipe.
func TestLongLine(t *testing.T) {
	t.Parallel()
	for _, size := range []int{4096, 64 << 10, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			p, err := pump.Tuned(t.TempDir(), pump.Config{PipeSize: size}, discard, 0, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			start(t, p)
			r := request(t)
			r.MaxLogLineSize = 0
			out := openShim(t, open(t, p, r).GetStdout())
			text := bytes.Repeat([]byte("0123456789"), 300_000)
			// One byte, then whole pages: the worst filling of a pipe.
			out.write(t, string(text[:1]))
			for rest := text[1:]; len(rest) > 0; {
				n := min(len(rest), 1+4096*rand.IntN(3))
				out.write(t, string(rest[:n]))
				rest = rest[n:]
			}
			out.write(t, "\n")
			out.close()
			mustClose(t, p, r.GetContainer().GetId())
			var got []byte
			for _, r := range records(t, r.GetLogPath()) {
				got = append(got, r.text...)
			}
			if !bytes.Equal(got, text) {
				t.Errorf("got %d bytes of %d", len(got), len(text))
			}
		})
	}
}

func TestRotateUnderLoad(t *testing.T) {
	t.Parallel()
	p := run(t, t.TempDir())
	r := request(t)
	id := r.GetContainer().GetId()
	fifos := open(t, p, r)
	out, errs := openShim(t, fifos.GetStdout()), openShim(t, fifos.GetStderr())
	stop, wrote := make(chan struct{}), make(chan int)
	go func() { wrote <- lines(t, out, stop) }()
	var logs []string
	for i := range 30 {
		rotated := fmt.Sprintf("%s.%02d", r.GetLogPath(), i)
		if err := os.Rename(r.GetLogPath(), rotated); err != nil {
			t.Fatal(err)
		}
		if err := p.Reopen(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(rotated)
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, rotated)
		eventually(t, "lines in the new log", func() bool {
			now, err := os.Stat(r.GetLogPath())
			return err == nil && now.Size() > 0
		})
		if after, err := os.Stat(rotated); err != nil || after.Size() != info.Size() {
			t.Errorf("the old log has grown from %d to %d, %v", info.Size(), after.Size(), err)
		}
	}
	close(stop)
	n := <-wrote
	out.close()
	errs.close()
	mustClose(t, p, id)
	expectNumbers(t, records(t, append(logs, r.GetLogPath())...), map[string]int{"stdout": n})
}

// TestRotateWhileDown renames the log while no pump runs: as without the
// restart, the renamed file stays in use until Reopen.
func TestRotateWhileDown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newPumps(t, dir)
	stop := start(t, first)
	r := request(t)
	out := openShim(t, open(t, first, r).GetStdout())
	stop()
	rotated := r.GetLogPath() + ".1"
	if err := os.Rename(r.GetLogPath(), rotated); err != nil {
		t.Fatal(err)
	}
	out.write(t, "one\n")
	second := run(t, dir)
	eventually(t, "line", func() bool { return len(records(t, rotated)) == 1 })
	if _, err := os.Stat(r.GetLogPath()); !os.IsNotExist(err) {
		t.Errorf("a new log before it is asked for: %v", err)
	}
	if err := second.Reopen(t.Context(), r.GetContainer().GetId()); err != nil {
		t.Fatal(err)
	}
	out.write(t, "two\n")
	eventually(t, "line", func() bool { return len(records(t, r.GetLogPath())) == 1 })
}

func TestReopenWithoutDirectory(t *testing.T) {
	t.Parallel()
	p := run(t, t.TempDir())
	r := request(t)
	parent := filepath.Join(t.TempDir(), "pod")
	if err := os.Mkdir(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	r.LogPath = filepath.Join(parent, "0.log")
	out := openShim(t, open(t, p, r).GetStdout())
	moved := parent + "-moved"
	if err := os.Rename(parent, moved); err != nil {
		t.Fatal(err)
	}
	err := p.Reopen(t.Context(), r.GetContainer().GetId())
	if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), parent) {
		t.Errorf("reopen: %v", err)
	}
	out.write(t, "still\n")
	eventually(t, "line in the old log", func() bool { return len(records(t, moved+"/0.log")) == 1 })
}

func TestLogDeleted(t *testing.T) {
	t.Parallel()
	p := run(t, t.TempDir())
	r := request(t)
	out := openShim(t, open(t, p, r).GetStdout())
	if err := os.Remove(r.GetLogPath()); err != nil {
		t.Fatal(err)
	}
	out.write(t, "line\n")
	eventually(t, "a log", func() bool {
		_, err := os.Stat(r.GetLogPath())
		return err == nil && len(records(t, r.GetLogPath())) == 1
	})
}

// fullDisk returns a directory on a disk of 256 KiB.
func fullDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestDiskFullForAWhile holds the container back and loses nothing.
func TestDiskFullForAWhile(t *testing.T) {
	t.Parallel()
	disk := fullDisk(t)
	p := run(t, t.TempDir())
	r := request(t)
	r.LogPath = filepath.Join(disk, "0.log")
	filler := filepath.Join(disk, "filler")
	out := openShim(t, open(t, p, r).GetStdout())
	if err := os.WriteFile(filler, make([]byte, 200<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 1000 {
		want = append(want, fmt.Sprintf("%d %s", i, strings.Repeat("x", 90)))
	}
	out.write(t, strings.Join(want, "\n")+"\n") // 100 KiB, and 45 bytes more a line
	eventually(t, "trouble", func() bool {
		troubles, dropped := p.Troubles()
		return len(troubles) == 1 && troubles[0].State == streamerv1.TroubledLog_STATE_HELD_BACK && dropped == 0
	})
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	out.close()
	mustClose(t, p, r.GetContainer().GetId())
	for i, r := range records(t, r.GetLogPath()) {
		if r.text != want[i] {
			t.Fatalf("record %d is %v", i, r)
		}
	}
}

// TestDiskFull drops after the stall limit, counts, and recovers.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := fullDisk(t)
	p := runTuned(t, t.TempDir(), 200*time.Millisecond, 0)
	r := request(t)
	r.LogPath = filepath.Join(disk, "0.log")
	id := r.GetContainer().GetId()
	out := openShim(t, open(t, p, r).GetStdout())
	line := strings.Repeat("x", 99) + "\n"
	for range 40 { // 4 MB into a pipe of 1 MiB: it must not block for ever
		out.write(t, strings.Repeat(line, 1000))
	}
	eventually(t, "dropped output", func() bool { info, _ := p.Info(id); return info.Dropped > 3<<20 })
	troubles, dropped := p.Troubles()
	if len(troubles) != 1 || troubles[0].State != streamerv1.TroubledLog_STATE_DROPPED || !errors.Is(troubles[0].Err, unix.ENOSPC) ||
		troubles[0].Container.GetId() != id || troubles[0].Dropped < 3<<20 || dropped < 3<<20 {
		t.Errorf("troubles are %+v, dropped %d", troubles, dropped)
	}
	if err := os.Truncate(r.GetLogPath(), 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "log written again", func() bool {
		out.write(t, "again\n")
		raw, err := os.ReadFile(r.GetLogPath())
		return err == nil && bytes.HasSuffix(raw, []byte(" F again\n"))
	})
	if troubles, still := p.Troubles(); len(troubles) > 0 || still < dropped {
		t.Errorf("after recovery troubles are %+v, dropped %d", troubles, still)
	}
	if _, err := p.Close(t.Context(), id, 0); err != nil {
		t.Error(err)
	}
	records(t, r.GetLogPath()) // whole ones, all of them
}

// TestShortLines grow by more than an append takes: none waits for the next write.
func TestShortLines(t *testing.T) {
	t.Parallel()
	p := run(t, t.TempDir())
	r := request(t)
	out := openShim(t, open(t, p, r).GetStdout())
	const lines = 100_000
	out.write(t, strings.Repeat("\n", lines))
	size := int64(len("2026-01-02T15:04:05.123456789Z stdout F \n") * lines)
	eventually(t, "all lines", func() bool { return sizeOf(t, r.GetLogPath()) > size*9/10 })
	mustEnd(t, p, r, out)
	if got := records(t, r.GetLogPath()); len(got) != lines {
		t.Errorf("%d lines of %d", len(got), lines)
	}
}
