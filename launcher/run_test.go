package main_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	launcherv1 "github.com/trivet-cri/trivet/proto/launcher/v1"
)

func TestMembersStartInOrderAndStopInReverse(t *testing.T) {
	t.Parallel()
	tr := newTrivet(t)
	// While netsync is not ready, the streamer starts and the runtime does not.
	tr.behave("netsync", "slow")
	tr.start()
	eventually(t, "the streamer to serve beside a slow netsync", func() error {
		if state := tr.member("streamer").GetState(); state != "serving" {
			return fmt.Errorf("it is %s", state)
		}
		return nil
	})
	if m := tr.member("runtime"); m.GetState() != "stopped" || m.GetPid() != 0 {
		t.Errorf("runtime is %v while netsync is not ready", m)
	}
	// Nobody accepts on the CRI's socket yet, which must not hang the status.
	shown, err := tr.command("status", "-c", tr.path).CombinedOutput()
	ok(t, err)
	if text := string(shown); !strings.Contains(text, "netsync   starting") ||
		!strings.Contains(text, "OPERATIONS ARE NOT KNOWN: runtime does not answer on "+tr.config.CRISocket()) {
		t.Errorf("status without runtime is\n%s", text)
	}
	ok(t, os.WriteFile(tr.config.State+"/go", nil, 0o600))
	status := tr.awaitServing(1)
	shown, err = tr.command("status", "--sessions", "-c", tr.path).Output()
	ok(t, err)
	if text := string(shown); !strings.Contains(text, "logs of 7 containers") || !strings.Contains(text, "shop/web") {
		t.Errorf("sessions are\n%s", text)
	}
	if status.GetGeneration() != 1 || status.GetRestarts() != 0 || len(status.GetHistory()) != 0 {
		t.Errorf("after the start the status is %v", status)
	}
	if code := tr.stop(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	out, err := tr.command("status", "-c", tr.path).CombinedOutput()
	if want := "no launcher answers on " + tr.config.LauncherSocket(); err == nil || !strings.Contains(string(out), want) {
		t.Errorf("trivet status without a launcher: %v, %s", err, out)
	}
	events := tr.events()
	if i, j := slices.Index(events, "netsync serves"), slices.Index(events, "runtime started"); i < 0 || j < i {
		t.Errorf("the runtime started before netsync served: %q", events)
	}
	if last := events[len(events)-3:]; last[0] != "runtime stopped" || !slices.Contains(last, "streamer stopped") || !slices.Contains(last, "netsync stopped") {
		t.Errorf("the members stopped in another order: %q", last)
	}
	for _, path := range []string{tr.config.CRISocket(), tr.config.LauncherSocket()} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is left", path)
		}
	}
}

// ask connects to a listener of the launcher's and returns the greeting of
// the member that has it.
func ask(network, address string) (string, error) {
	conn, err := net.Dial(network, address)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	text, err := io.ReadAll(conn)
	return strings.TrimSpace(string(text)), err
}

func TestKillOfACriticalMemberStartsANewGeneration(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"runtime", "streamer", "netsync"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := startTrivet(t)
			before, err := tr.status()
			ok(t, err)
			tr.kill(name, unix.SIGKILL)
			after := tr.awaitServing(2)
			if after.GetGeneration() != 2 || after.GetRestarts() != 1 || len(after.GetHistory()) != 1 {
				t.Fatalf("one member was killed once; status %v", after)
			}
			history := after.GetHistory()[0]
			if !strings.HasPrefix(history.GetReason(), name+": killed by SIGKILL") || history.GetGeneration() != 2 {
				t.Errorf("history is %v", history)
			}
			for i, m := range after.GetMembers() {
				if m.GetPid() == before.GetMembers()[i].GetPid() || m.GetRestarts() != 1 {
					t.Errorf("%s was not restarted: %v", m.GetName(), m)
				}
			}
		})
	}
}

// TestAllMembersDieAtOnce is one failure, not three.
func TestAllMembersDieAtOnce(t *testing.T) {
	t.Parallel()
	tr := startTrivet(t)
	status, err := tr.status()
	ok(t, err)
	for _, m := range status.GetMembers() {
		ok(t, unix.Kill(int(m.GetPid()), unix.SIGKILL))
	}
	if after := tr.awaitServing(2); after.GetGeneration() != 2 || len(after.GetHistory()) != 1 {
		t.Errorf("status is %v", after)
	}
}

func TestClientsWaitDuringARestart(t *testing.T) {
	t.Parallel()
	tr := startTrivet(t)
	first, err := ask("unix", tr.config.CRISocket())
	ok(t, err)
	// The next generation waits for the file, so the client surely connects
	// while nobody accepts.
	tr.behave("netsync", "slow")
	tr.kill("runtime", unix.SIGKILL)
	tr.await("the runtime to be gone", func(*launcherv1.StatusResponse) bool { return tr.member("runtime").GetPid() == 0 })
	var waiting []net.Conn
	for range 50 {
		conn, err := net.Dial("unix", tr.config.CRISocket())
		ok(t, err)
		waiting = append(waiting, conn)
	}
	ok(t, os.WriteFile(tr.config.State+"/go", nil, 0o600))
	for _, conn := range waiting {
		text, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(text), "runtime ") || strings.TrimSpace(string(text)) == first {
			t.Errorf("a client that connected during the restart got %q, %v; before it was %q", text, err, first)
		}
		ok(t, conn.Close())
	}
}
