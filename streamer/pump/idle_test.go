package pump_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// TestIdle keeps many containers, each with an unfinished line, in a process
// of its own: little memory, and no processor.
func TestIdle(t *testing.T) {
	const containers = 500
	dir := t.TempDir()
	p := newPumps(t, dir)
	stop := start(t, p)
	var shims []*shim
	var requests []*streamerv1.OpenIORequest
	for range containers {
		r := request(t)
		shims, requests = append(shims, openShim(t, open(t, p, r).GetStdout())), append(requests, r)
	}
	stop()
	cmd := role(t, "pump", "PUMP_TEST_DIR="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for i, s := range shims {
		s.write(t, "line\nunfinished")
		eventually(t, "line", func() bool { return len(records(t, requests[i].GetLogPath())) == 1 })
	}
	before := processorOf(t, cmd.Process.Pid)
	time.Sleep(500 * time.Millisecond) // what is measured, not a wait
	if used := processorOf(t, cmd.Process.Pid) - before; used > 100*time.Millisecond {
		t.Errorf("idle for 0.5 s used %v of processor", used)
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	resident, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d containers: %d KiB resident", containers, resident)
	// The race detector doubles it, and more.
	if resident > 120<<10 {
		t.Errorf("%d KiB resident", resident)
	}
	for i, s := range shims {
		s.write(t, " no more\n")
		eventually(t, "second line", func() bool { return len(records(t, requests[i].GetLogPath())) == 2 })
	}
}

// processorOf is the processor time that a process has used.
func processorOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')'):]))
	ticks := 0
	for _, field := range fields[12:14] {
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
