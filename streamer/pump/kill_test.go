package pump_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const kills = 120

// lines writes numbered lines until stopped, in chunks that end anywhere, and
// returns how many it wrote.
func lines(t *testing.T, s *shim, stop <-chan struct{}) int {
	var chunk []byte
	n := 0
	for {
		select {
		case <-stop:
			s.write(t, string(chunk))
			return n
		default:
		}
		for len(chunk) < 24<<10 {
			pad := strings.Repeat("same", n%40)
			chunk = fmt.Appendf(chunk, "%d %s\n", n, pad)
			n++
		}
		cut := 1 + rand.IntN(len(chunk))
		s.write(t, string(chunk[:cut]))
		chunk = append(chunk[:0], chunk[cut:]...)
	}
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// grown waits until a process that was just started writes to the log.
func grown(t *testing.T, path string, size int64) {
	t.Helper()
	eventually(t, "growing log", func() bool { return sizeOf(t, path) > size })
}

// someInstant is no wait for anything: it makes the instants of kills vary.
func someInstant(longest time.Duration) { time.Sleep(time.Duration(rand.Int64N(int64(longest)))) }

// expectNumbers checks that each stream has 0..n-1, whole and in order. A line
// may be in parts, as the beginning of one is that a terminal leaves for a while.
func expectNumbers(t *testing.T, got []record, want map[string]int) {
	t.Helper()
	next, begun := map[string]int{}, map[string]string{}
	for i, r := range got {
		n := next[r.stream]
		line := fmt.Sprintf("%d %s", n, strings.Repeat("same", n%40))
		text := begun[r.stream] + r.text
		if begun[r.stream] = ""; r.tag == "P" && strings.HasPrefix(line, text) {
			begun[r.stream] = text
			continue
		}
		if text != line || r.tag != "F" {
			t.Fatalf("record %d is %+.60v, want %.60q", i, r, line)
		}
		next[r.stream]++
	}
	for stream, n := range want {
		if next[stream] != n {
			t.Errorf("%s has %d lines, want %d", stream, next[stream], n)
		}
	}
}

func TestKillLosesNothing(t *testing.T) {
	t.Parallel()
	for _, tty := range []bool{false, true} {
		t.Run(fmt.Sprintf("tty=%t", tty), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			r := request(t)
			r.Tty = tty
			first := newPumps(t, dir)
			stopFirst := start(t, first)
			fifos := open(t, first, r)
			shims := map[string]*shim{"stdout": openShim(t, fifos.GetStdout())}
			if !tty {
				shims["stderr"] = openShim(t, fifos.GetStderr())
			}
			stopFirst()

			stop := make(chan struct{})
			wrote := map[string]int{}
			var mu sync.Mutex
			var writers sync.WaitGroup
			for stream, s := range shims {
				writers.Go(func() {
					n := lines(t, s, stop)
					mu.Lock()
					defer mu.Unlock()
					wrote[stream] = n
				})
			}
			for range kills {
				size := sizeOf(t, r.GetLogPath())
				cmd := role(t, "pump", "PUMP_TEST_DIR="+dir)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				grown(t, r.GetLogPath(), size)
				someInstant(20 * time.Millisecond)
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}
			last := newPumps(t, dir)
			start(t, last)
			close(stop)
			writers.Wait()
			for _, s := range shims {
				s.close()
			}
			drained, err := last.Close(t.Context(), r.GetContainer().GetId(), time.Minute)
			if err != nil || !drained {
				t.Fatal(drained, err)
			}
			expectNumbers(t, records(t, r.GetLogPath()), wrote)
			t.Logf("%d kills, lines: %v", kills, wrote)
		})
	}
}

// TestKillWhileRotating renames the log, asks for the new one, and kills at
// some instant before, within or after that.
func TestKillWhileRotating(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	r := v.request
	var logs []string
	current := r.GetLogPath()
	for i := range kills / 2 {
		size := sizeOf(t, current)
		cmd := v.pump(t, "PUMP_TEST_ID="+r.GetContainer().GetId())
		grown(t, current, size)
		someInstant(5 * time.Millisecond)
		if current == r.GetLogPath() {
			current = fmt.Sprintf("%s.%03d", current, i)
			if err := os.Rename(r.GetLogPath(), current); err != nil {
				t.Fatal(err)
			}
			logs = append(logs, current)
		}
		_ = cmd.Process.Signal(syscall.SIGHUP)
		someInstant(time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		// Until it is asked again, a successor goes on with the renamed file.
		if _, err := os.Stat(r.GetLogPath()); err == nil {
			current = r.GetLogPath()
		}
	}
	n := v.end(t)
	expectNumbers(t, records(t, append(logs, r.GetLogPath())...), map[string]int{"stdout": n})
	t.Logf("%d kills, %d rotations, %d lines", kills/2, len(logs), n)
}

// TestKillWhileRotatingItself has a log that is rotated dozens of times in the
// life of each process.
func TestKillWhileRotatingItself(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	r := v.request
	for range kills / 2 {
		rotated := len(logsOf(t, r.GetLogPath()))
		cmd := v.pump(t, "PUMP_TEST_MAX_SIZE=1000000")
		eventually(t, "rotation", func() bool { return len(logsOf(t, r.GetLogPath())) > rotated })
		someInstant(3 * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	n := v.end(t)
	logs := logsOf(t, r.GetLogPath())
	expectNumbers(t, records(t, logs...), map[string]int{"stdout": n})
	noneHidden(t, r.GetLogPath())
	t.Logf("%d kills, %d logs, %d lines", kills/2, len(logs), n)
}

// TestKillTakesRotationBack kills somewhere in a rotation of the kubelet's,
// which then puts the old log back over whatever has become of the new one.
func TestKillTakesRotationBack(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	r := v.request
	rotated := r.GetLogPath() + ".20260102-150405"
	for range kills / 2 {
		size := sizeOf(t, r.GetLogPath())
		cmd := v.pump(t, "PUMP_TEST_ID="+r.GetContainer().GetId())
		eventually(t, "growing log", func() bool { now := sizeOf(t, r.GetLogPath()); return now > size || now > 0 && now < size })
		if err := os.Rename(r.GetLogPath(), rotated); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Process.Signal(syscall.SIGHUP)
		someInstant(3 * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if err := os.Rename(rotated, r.GetLogPath()); err != nil {
			t.Fatal(err)
		}
	}
	n := v.end(t)
	logs := logsOf(t, r.GetLogPath())
	expectNumbers(t, records(t, logs...), map[string]int{"stdout": n})
	noneHidden(t, r.GetLogPath())
	t.Logf("%d kills, %d logs, %d lines", kills/2, len(logs), n)
}

// TestCrashAtEachStep kills the pump between the steps of its append protocol,
// where random instants seldom fall, with lines that all look the same.
func TestCrashAtEachStep(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"framed", "begun", "appended", "consumed"} {
		// The log stays, or is rotated while no pump runs, and the new one may
		// have been made already.
		for _, log := range []string{"stays", "rotated", "replaced"} {
			t.Run(step+" "+log, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				r := request(t)
				first := newPumps(t, dir)
				stopFirst := start(t, first)
				fifos := open(t, first, r)
				stdout, stderr := openShim(t, fifos.GetStdout()), openShim(t, fifos.GetStderr())
				stopFirst()

				const times = 5
				for range times {
					stdout.write(t, "y\ny\npart")
					cmd := role(t, "pump", "PUMP_TEST_DIR="+dir, "PUMP_TEST_CRASH="+step+":1")
					if err := cmd.Run(); err == nil {
						t.Fatal("pump was not killed")
					}
					stdout.write(t, "ial\n")
				}
				logs := []string{r.GetLogPath()}
				if log != "stays" {
					old := filepath.Join(filepath.Dir(r.GetLogPath()), "0.log.20260102-150405")
					if err := os.Rename(r.GetLogPath(), old); err != nil {
						t.Fatal(err)
					}
					if log == "replaced" {
						if err := os.WriteFile(r.GetLogPath(), nil, 0o640); err != nil {
							t.Fatal(err)
						}
					}
					logs = []string{old, r.GetLogPath()}
				}
				last := newPumps(t, dir)
				start(t, last)
				if log == "rotated" {
					if err := last.Reopen(t.Context(), r.GetContainer().GetId()); err != nil {
						t.Fatal(err)
					}
				}
				stdout.close()
				stderr.close()
				if _, err := last.Close(t.Context(), r.GetContainer().GetId(), time.Minute); err != nil {
					t.Fatal(err)
				}
				got := ""
				for _, r := range records(t, logs...) {
					got += r.tag + r.text + "|"
				}
				if want := strings.Repeat("Fy|Fy|Fpartial|", times); got != want {
					t.Errorf("log is %q, want %q", got, want)
				}
			})
		}
	}
}

// TestContainerEndsWhileDown loses what only the FIFO had, which the kernel
// frees with its last holder, and nothing that reached the log.
func TestContainerEndsWhileDown(t *testing.T) {
	t.Parallel()
	for step, want := range map[string]int{"begun": 0, "appended": 2} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			r := request(t)
			first := newPumps(t, dir)
			stopFirst := start(t, first)
			fifos := open(t, first, r)
			out, errs := openShim(t, fifos.GetStdout()), openShim(t, fifos.GetStderr())
			stopFirst()
			out.write(t, "one\ntwo\n")
			if err := role(t, "pump", "PUMP_TEST_DIR="+dir, "PUMP_TEST_CRASH="+step+":1").Run(); err == nil {
				t.Fatal("pump was not killed")
			}
			if step == "appended" {
				// The kill fell into the write: half a record is in the log.
				out.close()
				torn, err := os.OpenFile(r.GetLogPath(), os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				if err := torn.Truncate(sizeOf(t, r.GetLogPath()) - 3); err != nil {
					t.Fatal(err)
				}
				_ = torn.Close()
				want--
			}
			out.close()
			errs.close()
			last := newPumps(t, dir)
			start(t, last)
			mustClose(t, last, r.GetContainer().GetId())
			if got := records(t, r.GetLogPath()); len(got) != want {
				t.Errorf("log is %v, want %d records", got, want)
			}
		})
	}
}
