package main_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
	launcherv1 "github.com/trivet-cri/trivet/proto/launcher/v1"
)

func TestHangRestartsTheGroup(t *testing.T) {
	t.Parallel()
	tr := startTrivet(t, func(c *config.Config) {
		c.Launcher.HealthTimeout = config.Duration(200 * time.Millisecond)
		c.Launcher.HealthThreshold = 2
	})
	hung := tr.kill("streamer", unix.SIGSTOP)
	status := tr.awaitServing(2)
	if reason := status.GetHistory()[0].GetReason(); !strings.HasPrefix(reason, "streamer: no answer to 2 health checks in a row") {
		t.Errorf("reason is %q", reason)
	}
	if err := unix.Kill(int(hung.GetPid()), 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("the process that hung is still there: %v", err)
	}
}

func TestNotServingIsShown(t *testing.T) {
	t.Parallel()
	tr := startTrivet(t)
	tr.kill("runtime", unix.SIGUSR2)
	tr.await("the runtime to be shown as not serving", func(s *launcherv1.StatusResponse) bool {
		return s.GetMembers()[2].GetState() == "not-serving"
	})
}

func TestOptionalMemberIsRestartedAlone(t *testing.T) {
	t.Parallel()
	tr := startTrivet(t, func(c *config.Config) { c.Launcher.Critical = []string{"runtime", "netsync"} })
	before := tr.member("runtime")
	greeting, err := ask("unix", tr.config.CRISocket())
	ok(t, err)
	old := tr.kill("streamer", unix.SIGKILL)
	status := tr.await("the streamer to be back", func(s *launcherv1.StatusResponse) bool {
		m := s.GetMembers()[1]
		return m.GetState() == "serving" && m.GetPid() != old.GetPid()
	})
	streamer := status.GetMembers()[1]
	if streamer.GetCritical() || streamer.GetRestarts() != 1 || streamer.GetLastExit()[:17] != "killed by SIGKILL" {
		t.Errorf("streamer is %v", streamer)
	}
	if status.GetGeneration() != 1 || status.GetRestarts() != 0 || len(status.GetHistory()) != 1 {
		t.Errorf("status is %v", status)
	}
	if m := tr.member("runtime"); m.GetPid() != before.GetPid() {
		t.Errorf("the runtime was restarted too: %v", m)
	}
	if again, err := ask("unix", tr.config.CRISocket()); err != nil || again != greeting {
		t.Errorf("the runtime says %q, %v", again, err)
	}
}

func TestFailureIsExplainedAndRetried(t *testing.T) {
	t.Parallel()
	tr := newTrivet(t)
	tr.behave("runtime", "exit connect to containerd: no such file")
	tr.start()
	const line = "exit code 1: trivet-runtime: connect to containerd: no such file"
	status := tr.await("some retries", func(s *launcherv1.StatusResponse) bool { return s.GetGeneration() > 2 })
	if got := status.GetMembers()[2].GetLastExit(); got != line {
		t.Errorf("last exit is %q", got)
	}
	if got := status.GetHistory()[0].GetReason(); got != "runtime: "+line {
		t.Errorf("reason is %q", got)
	}
	if out, err := tr.command("status", "-c", tr.path).Output(); err != nil || !strings.Contains(string(out), line) {
		t.Errorf("trivet status: %v, %s", err, out)
	}
	ok(t, os.Remove(filepath.Join(tr.config.State, "runtime.behaviour")))
	tr.awaitServing(3)
}

// TestKilledLauncherTakesItsMembersAlong kills the launcher and starts another.
func TestKilledLauncherTakesItsMembersAlong(t *testing.T) {
	t.Parallel()
	tr := startTrivet(t)
	// A member that hangs must end as well.
	tr.kill("netsync", unix.SIGSTOP)
	status, err := tr.status()
	ok(t, err)
	ok(t, tr.cmd.Process.Kill())
	tr.awaitEnd()
	tr.start() // at once, while they are still dying
	tr.awaitServing(1)
	for _, m := range status.GetMembers() {
		tr.awaitGone(m)
	}
	now, err := tr.status()
	ok(t, err)
	if now.GetGeneration() != 1 || now.GetPid() == status.GetPid() {
		t.Errorf("status is %v", now)
	}
	if _, err := ask("unix", tr.config.CRISocket()); err != nil {
		t.Errorf("the new launcher's CRI socket: %v", err)
	}
}

// TestLeftoverMemberIsWaitedFor plays a member that is slow to die with its
// launcher.
func TestLeftoverMemberIsWaitedFor(t *testing.T) {
	t.Parallel()
	tr := newTrivet(t)
	leftover, err := net.Listen("unix", tr.config.StreamerSocket())
	ok(t, err)
	tr.start()
	conn, err := leftover.Accept() // it looks whether somebody is there
	ok(t, err)
	ok(t, conn.Close())
	if events := tr.events(); events[0] != "" {
		t.Errorf("members were started beside the leftover: %q", events)
	}
	ok(t, leftover.Close())
	if status := tr.awaitServing(1); status.GetGeneration() != 1 {
		t.Errorf("status is %v", status)
	}
}

func TestDeafMemberIsKilled(t *testing.T) {
	t.Parallel()
	tr := newTrivet(t, func(c *config.Config) { c.Launcher.StopTimeout = config.Duration(100 * time.Millisecond) })
	tr.behave("streamer", "deaf")
	tr.start()
	tr.awaitServing(1)
	if code := tr.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if log := tr.log(); !strings.Contains(log, "member had to be killed") {
		t.Errorf("the log does not say that the streamer had to be killed:\n%s", abridged(log))
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	tr := newTrivet(t, func(c *config.Config) { c.Launcher.StopTimeout = config.Duration(time.Hour) })
	tr.behave("runtime", "deaf")
	tr.start()
	status := tr.awaitServing(1)
	ok(t, tr.cmd.Process.Signal(unix.SIGTERM))
	eventually(t, "the launcher to say that it stops", func() error {
		if !strings.Contains(tr.log(), "stopping the group") {
			return errors.New("it does not")
		}
		return nil
	})
	ok(t, tr.cmd.Process.Signal(unix.SIGTERM))
	tr.awaitEnd()
	for _, m := range status.GetMembers() {
		tr.awaitGone(m)
	}
}

func TestStartsThatCannotSucceed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		arrange func(t *testing.T, tr *trivet)
		says    []string
	}{
		"missing program": {func(t *testing.T, tr *trivet) {
			ok(t, os.Remove(filepath.Join(tr.bin, "trivet-streamer")))
		}, []string{"program of streamer", "/trivet-streamer: no such file"}},
		"program that is none": {func(t *testing.T, tr *trivet) {
			path := filepath.Join(tr.bin, "trivet-runtime")
			ok(t, errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o644)))
		}, []string{"program of runtime", "/trivet-runtime is not an executable file"}},
		"bad configuration": {func(t *testing.T, tr *trivet) {
			ok(t, os.WriteFile(tr.path, []byte("version = 1\n[runtime]\nsokket = 1\n"), 0o600))
		}, []string{"trivet.toml:3: runtime.sokket: unknown key"}},
		"no configuration": {func(t *testing.T, tr *trivet) { ok(t, os.Remove(tr.path)) }, []string{"trivet.toml: no such file"}},
		"something else in the socket's place": {func(t *testing.T, tr *trivet) {
			ok(t, os.WriteFile(tr.config.CRISocket(), nil, 0o600))
		}, []string{"trivet.sock exists and is not a socket"}},
		"address that is not this machine's": {func(t *testing.T, tr *trivet) {
			tr.config.Streamer.Address = "192.0.2.1"
			tr.write(tr.config)
		}, []string{"listen on 192.0.2.1:0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTrivet(t)
			test.arrange(t, tr)
			out, err := tr.command("run", "-c", tr.path).CombinedOutput()
			if err == nil {
				t.Error("trivet run succeeded")
			}
			for _, part := range test.says {
				if !strings.Contains(string(out), part) {
					t.Errorf("trivet run does not say %q: %s", part, out)
				}
			}
			if _, err := os.Lstat(tr.config.LauncherSocket()); err == nil {
				t.Error("the launcher's socket is left")
			}
		})
	}
}

func TestSecondLauncherIsRefused(t *testing.T) {
	t.Parallel()
	tr := startTrivet(t)
	out, err := tr.command("run", "-c", tr.path).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "launcher.sock is served by another process") {
		t.Errorf("a second launcher: %v, %s", err, out)
	}
	if status := tr.awaitServing(1); status.GetGeneration() != 1 {
		t.Errorf("the first one was disturbed: %v", status)
	}
}
