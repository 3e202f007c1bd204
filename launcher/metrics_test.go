package main_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/metrics"
)

// freePort is an address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// metrics asks the launcher.
func (tr *trivet) metrics() (string, error) {
	response, err := http.Get("http://" + tr.config.Metrics.Address + metrics.Path)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

// awaitMetrics waits for lines that begin so.
func (tr *trivet) awaitMetrics(lines ...string) {
	tr.t.Helper()
	eventually(tr.t, fmt.Sprint(lines), func() error {
		text, err := tr.metrics()
		if err != nil {
			return err
		}
		for _, line := range lines {
			if !strings.Contains(text, "\n"+line) {
				return fmt.Errorf("metrics are\n%s", text)
			}
		}
		return nil
	})
}

// TestMetrics: those of all processes are at one address, and outlive a
// member's death; a member that hangs is only missing.
func TestMetrics(t *testing.T) {
	t.Parallel()
	address := freePort(t)
	tr := newTrivet(t, func(c *config.Config) { c.Metrics.Address = address; c.Launcher.HealthThreshold = 1000 })
	tr.start()
	tr.awaitServing(1)
	lines := []string{`trivet_launcher_generation 1`, `go_goroutines{member="launcher",`}
	for _, name := range []string{"netsync", "streamer", "runtime"} {
		lines = append(lines,
			fmt.Sprintf(`trivet_member_up{member=%q} 1`, name),
			fmt.Sprintf(`trivet_launcher_member_state{member=%q,state="serving"} 1`, name),
			fmt.Sprintf(`trivet_build_info{member=%q,pid="%d",version=`, name, tr.member(name).GetPid()))
	}
	tr.awaitMetrics(lines...)

	old := tr.kill("netsync", unix.SIGKILL)
	tr.awaitServing(2)
	tr.awaitMetrics(`trivet_launcher_generation 2`, `trivet_launcher_group_restarts_total 1`, `trivet_member_up{member="netsync"} 1`)
	sockets, err := metrics.Sockets(tr.config.State)
	ok(t, err)
	if len(sockets) != 3 {
		t.Errorf("after pid %d was killed the sockets are %v", old.GetPid(), sockets)
	}

	hung := tr.kill("streamer", unix.SIGSTOP)
	tr.awaitMetrics(`trivet_member_up{member="streamer"} 0`, `trivet_member_up{member="runtime"} 1`)
	ok(t, unix.Kill(int(hung.GetPid()), unix.SIGCONT))
	tr.awaitMetrics(`trivet_member_up{member="streamer"} 1`)
	if code := tr.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if sockets, err := metrics.Sockets(tr.config.State); err != nil || len(sockets) > 0 {
		t.Errorf("left are %v, error %v", sockets, err)
	}
}

// TestMetricsAddress: it is fixed for a launcher, and one that is taken is a
// mistake like any other.
func TestMetricsAddress(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	defer func() { _ = taken.Close() }()
	tr := newTrivet(t, func(c *config.Config) { c.Metrics.Address = taken.Addr().String() })
	out, err := tr.command("run", "-c", tr.path).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "address already in use") {
		t.Errorf("trivet run: %v, %s", err, out)
	}
	tr = newTrivet(t)
	tr.start()
	tr.awaitServing(1)
	changed := *tr.config
	changed.Metrics.Address = "127.0.0.1:9"
	ok(t, os.WriteFile(tr.path, []byte(render(changed)), 0o600))
	out, err = tr.command("reload", "-c", tr.path).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "metrics.address: cannot change from  to 127.0.0.1:9 without a restart of the launcher") {
		t.Errorf("trivet reload: %v, %s", err, out)
	}
}
