package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
	launcherv1 "github.com/trivet-cri/trivet/proto/launcher/v1"
)

func TestReload(t *testing.T) {
	t.Parallel()
	for name, reload := range map[string]func(t *testing.T, tr *trivet){
		"SIGHUP": func(t *testing.T, tr *trivet) { ok(t, tr.cmd.Process.Signal(unix.SIGHUP)) },
		"command": func(t *testing.T, tr *trivet) {
			out, err := tr.command("reload", "-c", tr.path).CombinedOutput()
			if err != nil || string(out) != "generation 2 serves\n" {
				t.Errorf("trivet reload: %v, %s", err, out)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := startTrivet(t)
			changed := *tr.config
			changed.Launcher.Critical = []string{"runtime"}
			tr.write(&changed)
			reload(t, tr)
			status := tr.awaitServing(2)
			if m := status.GetMembers()[0]; m.GetName() != "netsync" || m.GetCritical() {
				t.Errorf("the new configuration does not hold: %v", m)
			}
			history := status.GetHistory()
			if len(history) != 1 || history[0].GetReason() != "reload of "+tr.path {
				t.Errorf("history is %v", history)
			}
			text, err := os.ReadFile(filepath.Join(tr.config.State, "config.toml"))
			ok(t, err)
			if !strings.Contains(string(text), `critical = ['runtime']`) {
				t.Errorf("members do not read the new configuration:\n%s", text)
			}
		})
	}
}

func TestReloadRefusesABadConfiguration(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text func(c config.Config) string
		says string
	}{
		"unknown key": {func(config.Config) string { return "[streamer]\nprot = 1\n" }, "trivet.toml:2: streamer.prot: unknown key"},
		"another socket": {func(c config.Config) string {
			c.Runtime.Socket = "/run/other.sock"
			return render(c)
		}, "runtime.socket: cannot change from"},
		"missing programs": {func(c config.Config) string {
			c.Launcher.BinDir = "/nowhere"
			return render(c)
		}, "program of runtime: stat /nowhere/trivet-runtime"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := startTrivet(t)
			before, err := tr.status()
			ok(t, err)
			// The command must find the launcher, so it reads a good file.
			good := tr.path + ".good"
			tr.path, good = good, tr.path
			tr.write(tr.config)
			ok(t, os.WriteFile(good, []byte(test.text(*tr.config)), 0o600))
			out, err := tr.command("reload", "-c", tr.path).CombinedOutput()
			if err == nil || strings.Count(string(out), test.says) != 1 {
				t.Errorf("trivet reload: %v, %s", err, out)
			}
			ok(t, tr.cmd.Process.Signal(unix.SIGHUP))
			tr.path = good
			tr.await("the log to say why it was not reloaded", func(*launcherv1.StatusResponse) bool {
				return strings.Contains(tr.log(), "configuration not reloaded")
			})
			after, err := tr.status()
			ok(t, err)
			if after.GetGeneration() != 1 || after.GetMembers()[2].GetPid() != before.GetMembers()[2].GetPid() {
				t.Errorf("the running generation did not stay: %v", after)
			}
			// A crash now does not depend on the bad file.
			tr.kill("runtime", unix.SIGKILL)
			tr.awaitServing(2)
		})
	}
}

func render(c config.Config) string {
	var text strings.Builder
	_ = c.Write(&text) // a strings.Builder takes everything
	return text.String()
}

func TestRestartCommand(t *testing.T) {
	t.Parallel()
	tr := startTrivet(t)
	out, err := tr.command("restart", "-c", tr.path, "--reason", "new binaries").CombinedOutput()
	if err != nil || string(out) != "generation 2 serves\n" {
		t.Errorf("trivet restart: %v, %s", err, out)
	}
	status, err := tr.status()
	ok(t, err)
	if reason := status.GetHistory()[0].GetReason(); reason != "restart requested: new binaries" {
		t.Errorf("reason is %q", reason)
	}
	tr.behave("netsync", "exit no luck")
	out, err = tr.command("restart", "-c", tr.path).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "generation 3 does not serve: netsync: exit code 1: trivet-netsync: no luck") {
		t.Errorf("trivet restart of what does not start: %v, %s", err, out)
	}
}
