package main_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSocketActivation passes the listeners in, as systemd does: they are
// used, and stay when the launcher ends.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	tr := newTrivet(t)
	path := filepath.Join(filepath.Dir(tr.path), "passed.sock")
	cri, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	ok(t, err)
	defer func() { ok(t, cri.Close()) }()
	stream, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	ok(t, err)
	defer func() { ok(t, stream.Close()) }()
	criFile, err := cri.File()
	ok(t, err)
	streamFile, err := stream.File()
	ok(t, err)
	tr.start(func(cmd *exec.Cmd) {
		cmd.ExtraFiles = []*os.File{criFile, streamFile}
		cmd.Env = append(cmd.Env, "LISTEN_FDS=2", "LISTEN_FDNAMES=cri:stream")
	})
	status := tr.awaitServing(1)
	if status.GetCriSocket() != path {
		t.Errorf("the status has the CRI socket %q, want %q", status.GetCriSocket(), path)
	}
	for address, member := range map[[2]string]string{
		{"unix", path}: "runtime ", {"tcp", stream.Addr().String()}: "streamer ",
	} {
		if text, err := ask(address[0], address[1]); err != nil || !strings.HasPrefix(text, member) {
			t.Errorf("%v answers %q, %v; want %s", address, text, err, member)
		}
	}
	if _, err := os.Lstat(tr.config.CRISocket()); err == nil {
		t.Errorf("%s was bound besides", tr.config.CRISocket())
	}
	tr.kill("streamer", unix.SIGKILL)
	tr.awaitServing(2)
	if text, err := ask("tcp", stream.Addr().String()); err != nil || !strings.HasPrefix(text, "streamer ") {
		t.Errorf("the next generation's streamer answers %q, %v", text, err)
	}
	if code := tr.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	waiting, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the passed socket is gone with the launcher: %v", err)
	}
	ok(t, waiting.Close())
}

// TestStreamPortIsStable asks for any port: it must outlive generations.
func TestStreamPortIsStable(t *testing.T) {
	t.Parallel()
	tr := startTrivet(t)
	match := regexp.MustCompile(`stream=(127\.0\.0\.1:[1-9]\d*)`).FindStringSubmatch(tr.log())
	if match == nil {
		t.Fatalf("no address of the streaming server in the log:\n%s", abridged(tr.log()))
	}
	for generation := int64(1); generation < 3; generation++ {
		tr.awaitServing(generation)
		if text, err := ask("tcp", match[1]); err != nil || !strings.HasPrefix(text, "streamer ") {
			t.Errorf("in generation %d, %s answers %q, %v", generation, match[1], text, err)
		}
		tr.kill("streamer", unix.SIGKILL)
	}
}

// TestNotifications plays systemd: a notify socket and a watchdog.
func TestNotifications(t *testing.T) {
	t.Parallel()
	tr := newTrivet(t)
	path := filepath.Join(filepath.Dir(tr.path), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	ok(t, err)
	defer func() { ok(t, socket.Close()) }()
	next := func(wanted string) string {
		t.Helper()
		ok(t, socket.SetReadDeadline(time.Now().Add(waitLimit)))
		var seen []string
		for {
			message := make([]byte, 4096)
			n, err := socket.Read(message)
			if err != nil {
				t.Fatalf("wait for %q: %v; seen %q", wanted, err, seen)
			}
			if text := string(message[:n]); strings.Contains(text, wanted) {
				return text
			}
			seen = append(seen, string(message[:n]))
		}
	}
	tr.start(func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=100000")
	})
	if first := next("READY=1"); !strings.Contains(first, "STATUS=generation 1 serves") {
		t.Errorf("first word is %q", first)
	}
	next("WATCHDOG=1")
	next("WATCHDOG=1")
	tr.kill("netsync", unix.SIGKILL)
	next("STATUS=restarting the group: netsync: killed by SIGKILL")
	next("STATUS=generation 2 serves")
	ok(t, tr.cmd.Process.Signal(unix.SIGHUP))
	if text := next("RELOADING=1"); !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=[1-9]\d*$`).MatchString(text) {
		t.Errorf("message is %q", text)
	}
	next("READY=1")
	ok(t, os.WriteFile(tr.path, []byte("nonsense"), 0o600))
	ok(t, tr.cmd.Process.Signal(unix.SIGHUP))
	next("RELOADING=1")
	if text := next("READY=1"); !strings.Contains(text, fmt.Sprintf("STATUS=not reloaded: invalid argument: %s:1", tr.path)) {
		t.Errorf("message is %q", text)
	}
	ok(t, tr.cmd.Process.Signal(unix.SIGTERM))
	next("STOPPING=1")
	tr.awaitEnd()
}

// TestLogLinesStayWhole lets all members write lines longer than a pipe at
// the same time.
func TestLogLinesStayWhole(t *testing.T) {
	t.Parallel()
	tr := startTrivet(t)
	names := []string{"runtime", "streamer", "netsync"}
	for _, name := range names {
		tr.kill(name, unix.SIGUSR1)
	}
	for _, name := range names {
		eventually(t, name+" to have written", func() error {
			if !strings.Contains(strings.Join(tr.events(), "\n"), name+" wrote") {
				return fmt.Errorf("events are %q", tr.events())
			}
			return nil
		})
	}
	eventually(t, "the log to have all lines", func() error {
		whole := make(map[string]bool)
		for line := range strings.Lines(tr.log()) {
			whole[strings.TrimSuffix(line, "\n")] = true
		}
		for _, name := range names {
			for i := range longLines {
				if line := longLine(name, i); !whole[line] {
					return fmt.Errorf("line %.20s is not there as a whole", line)
				}
			}
		}
		return nil
	})
}
