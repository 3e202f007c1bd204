package main_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/listen"
	"github.com/trivet-cri/trivet/internal/rpc"
	"github.com/trivet-cri/trivet/launcher/command"
	launcherv1 "github.com/trivet-cri/trivet/proto/launcher/v1"
)

// TestMain is every program of the group: the test binary runs as trivet or
// as a member when it is called by such a name.
func TestMain(m *testing.M) {
	switch name := filepath.Base(os.Args[0]); {
	case name == "trivet":
		if err := command.App(listen.FromParent()).RunContext(context.Background(), os.Args); err != nil {
			fmt.Fprintf(os.Stderr, "trivet: %v\n", err)
			os.Exit(1)
		}
	case strings.HasPrefix(name, "trivet-"):
		runFakeMember(name)
	default:
		os.Exit(m.Run())
	}
}

const (
	// waitLimit bounds every wait for something that must happen.
	waitLimit = 20 * time.Second
	waitPoll  = 5 * time.Millisecond
)

// trivet is a launcher with fake members, in directories of its own.
type trivet struct {
	t      *testing.T
	config *config.Config
	path   string // of the configuration
	bin    string
	cmd    *exec.Cmd
	ended  chan struct{}
	client launcherv1.LauncherClient
}

// newTrivet makes the directories and starts nothing.
func newTrivet(t *testing.T, edits ...func(*config.Config)) *trivet {
	t.Helper()
	dir, err := os.MkdirTemp("", "trivet-") //nolint:usetesting // a socket's path must fit in 107 bytes
	ok(t, err)
	t.Cleanup(func() { ok(t, os.RemoveAll(dir)) })
	tr := &trivet{t: t, bin: filepath.Join(dir, "bin"), path: filepath.Join(dir, "trivet.toml"), config: config.Default()}
	ok(t, os.Mkdir(tr.bin, 0o755))
	self, err := os.Executable()
	ok(t, err)
	for _, name := range []string{"trivet", "trivet-runtime", "trivet-streamer", "trivet-netsync"} {
		ok(t, os.Symlink(self, filepath.Join(tr.bin, name)))
	}
	c := tr.config
	c.State, c.Root = filepath.Join(dir, "state"), filepath.Join(dir, "root")
	c.Launcher.BinDir = tr.bin
	c.Launcher.StopTimeout = config.Duration(10 * time.Second)
	c.Launcher.HealthInterval = config.Duration(50 * time.Millisecond)
	c.Launcher.HealthTimeout = config.Duration(2 * time.Second)
	c.Launcher.BackoffMin = config.Duration(10 * time.Millisecond)
	c.Launcher.BackoffMax = config.Duration(100 * time.Millisecond)
	ok(t, os.Mkdir(c.State, 0o711))
	for _, edit := range edits {
		edit(c)
	}
	tr.write(tr.config)
	conn, err := rpc.Dial(c.LauncherSocket())
	ok(t, err)
	t.Cleanup(func() { ok(t, conn.Close()) })
	tr.client = launcherv1.NewLauncherClient(conn)
	return tr
}

// startTrivet starts a launcher and waits until its group serves.
func startTrivet(t *testing.T, edits ...func(*config.Config)) *trivet {
	t.Helper()
	tr := newTrivet(t, edits...)
	tr.start()
	tr.awaitServing(1)
	return tr
}

func (tr *trivet) write(c *config.Config) {
	tr.t.Helper()
	f, err := os.Create(tr.path)
	ok(tr.t, err)
	ok(tr.t, errors.Join(c.Write(f), f.Close()))
}

// behave sets how a member behaves from its next start on.
func (tr *trivet) behave(member, behaviour string) {
	tr.t.Helper()
	ok(tr.t, os.WriteFile(filepath.Join(tr.config.State, member+".behaviour"), []byte(behaviour), 0o600))
}

// command prepares a run of the trivet program.
func (tr *trivet) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(tr.bin, "trivet"), args...)
	// A test binary that Bazel has linked ignores SIGTERM when it sees its
	// test's timeout; here it is a program that must not.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "TEST_TIMEOUT=")
	})
	// Programs built with -race would take a second to exit, for no race.
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// start starts the launcher, which is stopped at the end of the test.
func (tr *trivet) start(edits ...func(*exec.Cmd)) {
	tr.t.Helper()
	log, err := os.OpenFile(tr.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ok(tr.t, err)
	cmd := tr.command("run", "-c", tr.path)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGTERM}
	for _, edit := range edits {
		edit(cmd)
	}
	started := make(chan error)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // the death signal is the thread's
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		_ = log.Close()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	ok(tr.t, <-started)
	tr.cmd, tr.ended = cmd, ended
	tr.t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		<-ended
		if text := tr.log(); strings.Contains(text, "DATA RACE") || tr.t.Failed() {
			tr.t.Errorf("the log:\n%s", abridged(text))
		}
	})
}

func (tr *trivet) logPath() string { return filepath.Join(filepath.Dir(tr.path), "log") }

func (tr *trivet) log() string {
	text, err := os.ReadFile(tr.logPath())
	ok(tr.t, err)
	return string(text)
}

func abridged(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if len(line) > 400 {
			line = line[:400] + "…\n"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines[max(0, len(lines)-100):], "")
}

// stop stops the launcher politely and returns its exit code.
func (tr *trivet) stop() int {
	tr.t.Helper()
	ok(tr.t, tr.cmd.Process.Signal(unix.SIGTERM))
	return tr.awaitEnd()
}

func (tr *trivet) awaitEnd() int {
	tr.t.Helper()
	select {
	case <-tr.ended:
		return tr.cmd.ProcessState.ExitCode()
	case <-time.After(waitLimit):
		tr.t.Fatalf("the launcher does not end; the log:\n%s", abridged(tr.log()))
		return 0
	}
}

func (tr *trivet) status() (*launcherv1.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(tr.t.Context(), waitLimit)
	defer cancel()
	return tr.client.Status(ctx, &launcherv1.StatusRequest{}, grpc.WaitForReady(true))
}

// member is one member as the launcher shows it.
func (tr *trivet) member(name string) *launcherv1.Member {
	tr.t.Helper()
	status, err := tr.status()
	ok(tr.t, err)
	for _, m := range status.GetMembers() {
		if m.GetName() == name {
			return m
		}
	}
	tr.t.Fatalf("no member %s in %v", name, status)
	return nil
}

// awaitServing waits until all members of that generation, or a later one, serve.
func (tr *trivet) awaitServing(generation int64) *launcherv1.StatusResponse {
	tr.t.Helper()
	return tr.await(fmt.Sprintf("generation %d to serve", generation), func(s *launcherv1.StatusResponse) bool {
		for _, m := range s.GetMembers() {
			if m.GetState() != "serving" {
				return false
			}
		}
		return s.GetGeneration() >= generation
	})
}

// await waits for a status that is as wanted.
func (tr *trivet) await(what string, wanted func(*launcherv1.StatusResponse) bool) *launcherv1.StatusResponse {
	tr.t.Helper()
	var last *launcherv1.StatusResponse
	eventually(tr.t, what, func() error {
		status, err := tr.status()
		if err == nil && !wanted(status) {
			last = status
			err = fmt.Errorf("status is %v", status)
		}
		last = status
		return err
	})
	return last
}

// events are what the members have noted, one "NAME WHAT" each.
func (tr *trivet) events() []string {
	text, _ := os.ReadFile(filepath.Join(tr.config.State, "events"))
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func (tr *trivet) kill(member string, signal syscall.Signal) *launcherv1.Member {
	tr.t.Helper()
	m := tr.member(member)
	if m.GetPid() == 0 {
		tr.t.Fatalf("%s does not run: %v", member, m)
	}
	ok(tr.t, unix.Kill(int(m.GetPid()), signal))
	return m
}

// awaitGone waits until a process whose parent is dead is gone. Whether that
// takes long depends on who reaps it.
func (tr *trivet) awaitGone(m *launcherv1.Member) {
	tr.t.Helper()
	eventually(tr.t, m.GetName()+" to be gone", func() error {
		if err := unix.Kill(int(m.GetPid()), 0); !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("signal to pid %d: %w", m.GetPid(), err)
		}
		return nil
	})
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(waitLimit)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("wait for %s: %v", what, err)
		}
		time.Sleep(waitPoll)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
