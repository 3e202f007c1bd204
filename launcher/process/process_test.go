package process_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/launcher/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sh is a command that runs a script.
func sh(script string, files ...process.File) process.Command {
	return process.Command{Name: "member", Path: "/bin/sh", Args: []string{"-c", script}, Files: files}
}

// run runs command to its end and returns what it wrote.
func run(t *testing.T, command process.Command) (*process.Process, string) {
	t.Helper()
	var out bytes.Buffer
	p, err := process.Start(command, process.NewOutput(&out))
	if err != nil {
		t.Fatal(err)
	}
	await(t, p)
	return p, out.String()
}

func await(t *testing.T, p *process.Process) {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(20 * time.Second):
		t.Fatalf("process %d does not end", p.PID())
	}
}

func TestExit(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ script, want string }{
		"fine":             {"echo all is well", "exit code 0"},
		"code":             {"echo out; echo why >&2; exit 7", "exit code 7: why"},
		"no newline":       {"printf why; exit 7", "exit code 7: why"},
		"silent":           {"exit 7", "exit code 7"},
		"empty last lines": {"echo why; echo; echo ' '; exit 7", "exit code 7: why"},
		"signal":           {"echo working; kill -SEGV $$", "killed by SIGSEGV: working"},
		"panic":            {"echo x; echo 'panic: oh'; echo; echo 'goroutine 1:'; exit 2", "exit code 2: panic: oh"},
		"fatal error":      {"echo 'fatal error: all asleep'; echo 'goroutine 1:'; exit 2", "exit code 2: fatal error: all asleep"},
		"control":          {`printf 'a\033[31mb\tc\377\n'; exit 1`, "exit code 1: a\ufffd[31mb c\ufffd"},
		"long":             {"head -c 2000 /dev/zero | tr '\\0' x; exit 1", "exit code 1: " + strings.Repeat("x", 512) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := run(t, sh(test.script))
			if got := p.Exit().String(); got != test.want {
				t.Errorf("exit is %q, want %q", got, test.want)
			}
		})
	}
}

func TestProgramThatIsMissing(t *testing.T) {
	t.Parallel()
	command := process.Command{Name: "member", Path: filepath.Join(t.TempDir(), "missing")}
	if p, err := process.Start(command, process.NewOutput(os.Stderr)); err == nil || !strings.Contains(err.Error(), "start member: ") {
		t.Errorf("started %v, %v", p, err)
	}
	if err := command.Check(); err == nil || !strings.Contains(err.Error(), "program of member") {
		t.Errorf("check: %v", err)
	}
}

func TestOutput(t *testing.T) {
	t.Parallel()
	long := 3 << 20 // longer than a line may be
	_, out := run(t, sh(fmt.Sprintf("echo to stdout; echo to stderr >&2; head -c %d /dev/zero | tr '\\0' x; echo; printf end", long)))
	lines := strings.SplitAfter(out, "\n")
	if lines[0] != "to stdout\n" || lines[1] != "to stderr\n" || !strings.HasSuffix(out, "\nend\n") {
		t.Errorf("output is %.100q … %q", out, out[len(out)-20:])
	}
	if n := strings.Count(out, "x"); n != long {
		t.Errorf("%d of %d bytes of the long line", n, long)
	}
	for _, line := range lines {
		if len(line) > 1<<20+64<<10 {
			t.Errorf("a line of %d bytes was kept in memory", len(line))
		}
	}
}

// slowly takes a piece byte by byte, so that two at a time would mix.
type slowly struct{ bytes.Buffer }

func (w *slowly) Write(p []byte) (int, error) {
	for _, b := range p {
		w.WriteByte(b)
		runtime.Gosched()
	}
	return len(p), nil
}

func TestOutputsDoNotMix(t *testing.T) {
	t.Parallel()
	var out slowly
	output := process.NewOutput(&out)
	line := func(name string) string { return strings.Repeat(name, 3000) }
	var running []*process.Process
	for _, name := range []string{"a", "b", "c"} {
		p, err := process.Start(sh("for i in 1 2 3 4 5; do echo "+line(name)+"; done"), output)
		if err != nil {
			t.Fatal(err)
		}
		running = append(running, p)
	}
	for _, p := range running {
		await(t, p)
	}
	for got := range strings.Lines(out.String()) {
		if want := line(got[:1]) + "\n"; got != want {
			t.Errorf("a line of %d bytes is mixed: %.40q", len(got), got)
		}
	}
}

func TestInheritedFiles(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/notify")
	t.Setenv("WATCHDOG_USEC", "1")
	t.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	t.Setenv("LISTEN_FDS", "7")
	var files []process.File
	for _, name := range []string{"cri", "stream"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte("I am "+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		files = append(files, process.File{Name: name, File: f})
	}
	_, out := run(t, sh(`echo "$LISTEN_FDS $LISTEN_FDNAMES"; cat <&3; cat <&4; echo "[$NOTIFY_SOCKET$WATCHDOG_USEC$LISTEN_PID]"`, files...))
	if want := "2 cri:stream\nI am cri\nI am stream\n[]\n"; out != want {
		t.Errorf("the child sees %q, want %q", out, want)
	}
	_, out = run(t, sh(`echo "[$LISTEN_FDS$LISTEN_FDNAMES]"`))
	if out != "[]\n" {
		t.Errorf("a child without files sees %q", out)
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p, err := process.Start(sh("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done"), process.NewOutput(&out))
	if err != nil {
		t.Fatal(err)
	}
	// The trap needs a moment to be set; a shell killed before says nothing.
	waitFor(t, func() bool { return caught(p.PID(), unix.SIGTERM) })
	if killed := p.Stop(unix.SIGTERM, time.Minute); killed || p.Exit().Code != 3 || !strings.HasSuffix(out.String(), "bye\n") {
		t.Errorf("killed %v, exit %v, output %q", killed, p.Exit(), out.String())
	}
	if p.Stop(unix.SIGTERM, time.Minute) {
		t.Error("a process that has ended was killed")
	}
}

// caught tells from /proc whether a process handles a signal.
func caught(pid int, signal unix.Signal) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if mask, ok := strings.CutPrefix(line, "SigCgt:"); ok {
			bits, _ := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return bits&(1<<(signal-1)) != 0
		}
	}
	return false
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to be")
		}
	}
}

func TestStopKills(t *testing.T) {
	t.Parallel()
	p, err := process.Start(sh("trap '' TERM; while :; do sleep 0.01; done"), process.NewOutput(os.Stderr))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
		return strings.Contains(string(text), "SigIgn:\t0000000000004000")
	})
	if killed := p.Stop(unix.SIGTERM, 50*time.Millisecond); !killed || p.Exit().Signal != unix.SIGKILL {
		t.Errorf("killed %v, exit %v", killed, p.Exit())
	}
}

// TestLeftoversEndToo leaves a child behind that holds the output open.
func TestLeftoversEndToo(t *testing.T) {
	t.Parallel()
	_, out := run(t, sh("sleep 1000 & echo $!"))
	pid, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatalf("output is %q", out)
	}
	waitFor(t, func() bool { return unix.Kill(pid, 0) != nil })
}

// TestOutputHeldOpen leaves a child behind outside the process group: the end
// of the member is noticed all the same.
func TestOutputHeldOpen(t *testing.T) {
	t.Parallel()
	setsid, err := exec.LookPath("setsid")
	if err != nil {
		t.Fatal(err)
	}
	// The shell waits for the pid that its child writes from the new session.
	path := filepath.Join(t.TempDir(), "pid")
	p, _ := run(t, sh(fmt.Sprintf("%s sh -c 'echo $$ >%s.new; mv %s.new %s; exec sleep 1000' & while ! [ -e %s ]; do sleep 0.01; done; exit 5",
		setsid, path, path, path, path)))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Errorf("the child outside the group is gone: %v", err)
	}
	if p.Exit().Code != 5 {
		t.Errorf("exit is %v", p.Exit())
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add([]byte("exit \x1b[31m \xff\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got := process.Printable(text)
		if strings.ContainsAny(got, "\x1b\n\r\x00") || strings.ToValidUTF8(got, "") != got || len(got) > 3*512+len("…") {
			t.Errorf("%q becomes %q", text, got)
		}
	})
}
