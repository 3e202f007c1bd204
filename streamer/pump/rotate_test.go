package pump_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/pump"
)

// configured starts pumps with a configuration of the test's.
func configured(t *testing.T, dir string, config pump.Config) *pump.Pumps {
	t.Helper()
	config.PipeSize = 1 << 20
	p, err := pump.Tuned(dir, config, discard, 0, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	start(t, p)
	return p
}

// logsOf are a container's logs, oldest first, as the kubelet finds them.
func logsOf(t *testing.T, path string) []string {
	t.Helper()
	rotated, err := filepath.Glob(path + ".*")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(rotated)
	return append(rotated, path)
}

// noneHidden checks that no rotation has left anything.
func noneHidden(t *testing.T, path string) {
	t.Helper()
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRotates(t *testing.T) {
	t.Parallel()
	const maxSize, files = 64 << 10, 4
	p := configured(t, t.TempDir(), pump.Config{MaxSize: maxSize, MaxFiles: files})
	r := request(t)
	fifos := open(t, p, r)
	out, errs := openShim(t, fifos.GetStdout()), openShim(t, fifos.GetStderr())
	const lines = 5000
	for i := range lines {
		out.write(t, fmt.Sprintf("%d %s\n", i, strings.Repeat("x", 60)))
		if i%100 == 0 {
			eventually(t, "line", func() bool { return strings.HasPrefix(last(t, r.GetLogPath()), fmt.Sprintf("%d ", i)) })
		}
	}
	mustEnd(t, p, r, out, errs)
	logs := logsOf(t, r.GetLogPath())
	if len(logs) != files {
		t.Errorf("%d logs, want %d: %v", len(logs), files, logs)
	}
	named := regexp.MustCompile(`/0\.log\.\d{8}-\d{6}\.\d{6}$`)
	next := -1
	for i, path := range logs {
		if size := sizeOf(t, path); size > maxSize || size < maxSize/2 && i < len(logs)-1 {
			t.Errorf("%s has %d bytes", path, size)
		}
		if i < len(logs)-1 && !named.MatchString(path) {
			t.Errorf("a rotated log is called %s", path)
		}
		for _, line := range records(t, path) {
			var n int
			if _, err := fmt.Sscanf(line.text, "%d ", &n); err != nil || next >= 0 && n != next {
				t.Fatalf("%s has %.20q, want %d", path, line.text, next)
			}
			next = n + 1
		}
	}
	if next != lines {
		t.Errorf("the last line is %d", next-1)
	}
	noneHidden(t, r.GetLogPath())
}

// last is the text of a log's last whole record.
func last(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole := strings.Split(string(raw), "\n")
	if len(whole) < 2 {
		return ""
	}
	r, err := parse(whole[len(whole)-2])
	if err != nil {
		t.Fatal(err)
	}
	return r.text
}

// TestRotationTakenBack renames a log as the kubelet does, and back when the
// answer of Reopen was lost: over a new log that has lines already.
func TestRotationTakenBack(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart=%t", restart), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := newPumps(t, dir)
			stop := start(t, p)
			r := request(t)
			out := openShim(t, open(t, p, r).GetStdout())
			write := func(text string) {
				out.write(t, text+"\n")
				eventually(t, text, func() bool { return last(t, r.GetLogPath()) == text })
			}
			write("one")
			rotated := r.GetLogPath() + ".20260102-150405"
			if err := os.Rename(r.GetLogPath(), rotated); err != nil {
				t.Fatal(err)
			}
			if err := p.Reopen(t.Context(), r.GetContainer().GetId()); err != nil {
				t.Fatal(err)
			}
			write("two")
			if restart {
				stop()
			}
			if err := os.Rename(rotated, r.GetLogPath()); err != nil {
				t.Fatal(err)
			}
			if restart {
				p = run(t, dir)
			}
			write("three")
			mustEnd(t, p, r, out)
			if got := fmt.Sprint(records(t, logsOf(t, r.GetLogPath())...)); got != "[{stdout F one} {stdout F two} {stdout F three}]" {
				t.Errorf("logs are %s", got)
			}
			noneHidden(t, r.GetLogPath())
		})
	}
}

// TestRotationIsRefused: what cannot be rotated is logged on.
func TestRotationIsRefused(t *testing.T) {
	t.Parallel()
	p := configured(t, t.TempDir(), pump.Config{MaxSize: 100, MaxFiles: 2})
	r := request(t)
	out := openShim(t, open(t, p, r).GetStdout())
	// The kubelet has begun to rotate, so this is not its log any more.
	moved := r.GetLogPath() + ".20260102-150405"
	if err := os.Rename(r.GetLogPath(), moved); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		out.write(t, strings.Repeat("x", 60)+"\n")
		eventually(t, "line", func() bool { return len(records(t, moved)) == i+1 })
	}
	if err := p.Reopen(t.Context(), r.GetContainer().GetId()); err != nil {
		t.Fatal(err)
	}
	out.write(t, "new\n")
	eventually(t, "line in the new log", func() bool { return last(t, r.GetLogPath()) == "new" })
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	const limit, line = 200_000, 100
	p := configured(t, t.TempDir(), pump.Config{RateLimit: limit})
	r := request(t)
	fifos := open(t, p, r)
	out, errs := openShim(t, fifos.GetStdout()), openShim(t, fifos.GetStderr())
	begun := time.Now()
	for range 3 * limit / line / 100 {
		out.write(t, strings.Repeat(strings.Repeat("x", line-1)+"\n", 100))
	}
	// What a silent container may write at once, and the limit for the rest.
	record := int64(line + len("2026-01-02T15:04:05.123456789Z stdout F "))
	eventually(t, "two thirds", func() bool { return sizeOf(t, r.GetLogPath()) >= 2*limit/line*record })
	if took := time.Since(begun); took < 700*time.Millisecond || took > 5*time.Second {
		t.Errorf("%d bytes at %d bytes a second took %v", 2*limit, limit, took)
	}
	errs.write(t, "err\n") // shares the limit
	mustEnd(t, p, r, out, errs)
	if got := records(t, r.GetLogPath()); len(got) != 3*limit/line+1 {
		t.Errorf("%d lines, want %d", len(got), 3*limit/line+1)
	}
}

// TestRateLimitHoldsBack: beyond the pipe the container waits.
func TestRateLimitHoldsBack(t *testing.T) {
	t.Parallel()
	p := configured(t, t.TempDir(), pump.Config{RateLimit: 1000})
	r := request(t)
	out := openShim(t, open(t, p, r).GetStdout())
	if err := out.w.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	wrote := 0
	for {
		n, err := out.w.WriteString(strings.Repeat("x", 999) + "\n")
		wrote += n
		if err != nil {
			break
		}
	}
	if troubles, _ := p.Troubles(); len(troubles) != 1 || troubles[0].State != streamerv1.TroubledLog_STATE_LIMITED {
		t.Errorf("troubles are %+v", troubles)
	}
	if wrote > 1100<<10 {
		t.Errorf("%d bytes written against a limit of 1000 a second and a pipe of 1 MiB", wrote)
	}
	mustEnd(t, p, r, out)
	if got := records(t, r.GetLogPath()); len(got) != (wrote+999)/1000 {
		t.Errorf("%d lines, want %d", len(got), (wrote+999)/1000)
	}
}
