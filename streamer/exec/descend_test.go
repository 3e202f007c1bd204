package exec_test

import (
	"bufio"
	"fmt"
	"os"
	osexec "os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/streamer/exec"
)

// family starts a shell with a child, in a session of its own, and returns
// both pids.
func family(t *testing.T) (parent, child int) {
	t.Helper()
	cmd := osexec.Command("/bin/sh", "-c", "setsid sleep 1000 & echo $!; wait")
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if child, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Kill(child, unix.SIGKILL)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid, child
}

// dead tells whether a process has ended, be it unreaped.
func dead(pid int) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || strings.Contains(string(text), ") Z ") {
		return nil
	}
	return fmt.Errorf("process %d lives", pid)
}

func TestKillTree(t *testing.T) {
	t.Parallel()
	parent, child := family(t)
	own, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", parent))
	if err != nil {
		t.Fatal(err)
	}
	exec.KillTree("no-such-cgroup-anywhere", parent)
	if dead(parent) == nil || dead(child) == nil {
		t.Fatal("a process outside the container was killed")
	}
	// Some text that is in the cgroup file of both.
	exec.KillTree(strings.TrimSpace(strings.SplitN(string(own), "\n", 2)[0]), parent)
	for _, pid := range []int{parent, child} {
		eventually(t, "killed", func() error { return dead(pid) })
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"7 (sh) S 3 7 5 0 -1":             "3 7 5",
		"7 (a) b) R 1 2 (c) S 30 70 50 0": "30 70 50",
		"7 (sh) Z 3 7 5 0":                "error",
		"7 (sh) S 3 x 5 0":                "error",
		"7 (sh) S 3":                      "error",
		"":                                "error",
	} {
		if got := exec.ParseStat(text); got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("7 (sh) S 3 7 5 0 -1")
	f.Fuzz(func(_ *testing.T, text string) { exec.ParseStat(text) })
}

func FuzzParseName(f *testing.F) {
	f.Add("0123.trivet-exec-00ff")
	f.Add("../..trivet-exec-0")
	f.Fuzz(func(t *testing.T, name string) {
		p, ok := exec.ParseName(name)
		if ok && (p.Container+"."+p.ID != name || strings.Contains(name, "/")) {
			t.Errorf("%q gives %v", name, p)
		}
	})
}
