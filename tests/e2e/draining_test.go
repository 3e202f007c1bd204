//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/stream"
)

// TestDrainingAndContainerdRestarts has containerd hang and then die under
// sessions that drain: what they move does not stand still, and what they ask
// of it meanwhile is done when it is back.
func TestDrainingAndContainerdRestarts(t *testing.T) {
	for way, edit := range map[string]func(*config.Config){
		"commands of shims":      func(*config.Config) {},
		"commands of containerd": func(c *config.Config) { c.Containerd.State = filepath.Join(c.State, "nothing") },
	} {
		t.Run(way, func(t *testing.T) {
			b := startBusy(t, edit)
			ctx := limit(t, 3*time.Minute)
			logged := need(b.pod.RunCounter(ctx, "counter", 10, 10*time.Millisecond))(t)
			shell := need(b.pod.Run(ctx, "shell", terminal, harness.Shell("exec sh")))(t)
			consoles := map[string]*console{
				"exec":   openConsole(ctx, t, stream.SPDY, need(b.echo.ExecURL(ctx, true, true, "/bin/sh"))(t)),
				"attach": openConsole(ctx, t, stream.WebSocket, need(shell.AttachURL(ctx, true, true))(t)),
			}
			b.kill(t, "runtime")
			b.awaitElders(t, 1)
			early := make(chan error, 2)
			ok(t, stage.Lab.RestartContainerd(ctx, func() {
				b.await(t)
				for name, s := range consoles {
					s.sizes <- stream.Size{Width: 120, Height: 40}
					need(fmt.Fprintf(s.typed, "echo with''out\n"))(t)
					if err := s.await(limit(t, 20*time.Second), "\nwithout"); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
				for _, f := range b.flows[:2] { // an exec, an attach
					go func() { early <- f.Finish(ctx) }()
				}
				awaitGone(t, filepath.Join(b.group.Config.State, "io", b.attached[0].ID, "stdin"))
			}))
			ok(t, b.group.AwaitReady(ctx))
			ok(t, errors.Join(<-early, <-early))
			b.flows = b.flows[2:]
			b.await(t)
			if out := need(b.echo.Output(ctx, "echo after"))(t); out != "after\n" {
				t.Errorf("exec gives %q", out)
			}
			for name, s := range consoles {
				s.awaitSize(ctx, t, "40 120")
				if code, err := s.exit(ctx, 9); err != nil || name == "exec" && code != 9 {
					t.Errorf("%s: exit code %d, error %v", name, code, err)
				}
			}
			b.finish(t)
			for _, container := range b.attached {
				if status := need(container.AwaitExit(ctx))(t); status.GetExitCode() != 0 {
					t.Errorf("exit code %d", status.GetExitCode())
				}
			}
			b.awaitElders(t, 0)
			ok(t, need(logged.Finish(ctx))(t).Complete())
		})
	}
}

// awaitGone waits until there is no file of that name.
func awaitGone(t *testing.T, path string) {
	t.Helper()
	ok(t, harness.WaitFor(limit(t, time.Minute), 20*time.Second, "the end of a file", func(context.Context) error {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s is there, error %w", path, err)
		}
		return nil
	}))
}

// watched is a container that writes numbers, and a client that sees them.
type watched struct {
	*harness.Numbered
	*screen
	ended chan error
	sizes map[string]int64 // of logs that are complete
}

func watch(ctx context.Context, t *testing.T, pod *harness.Pod, kind harness.NumberedKind) *watched {
	t.Helper()
	w := &watched{Numbered: need(pod.RunNumbered(ctx, kind))(t), screen: newScreen(), ended: make(chan error, 1), sizes: map[string]int64{}}
	session := stream.Session{
		Transport: stream.SPDY, URL: need(w.AttachURL(ctx, kind.TTY, false))(t), TTY: kind.TTY, Stdout: w.screen, Stderr: io.Discard,
	}
	go func() {
		_, err := session.Run(ctx)
		w.ended <- err
	}()
	ok(t, w.await(ctx, "\n"))
	return w
}

// rotate rotates the log: the new file is in use at once.
func (w *watched) rotate(ctx context.Context, t *testing.T, suffix string) {
	t.Helper()
	old := need(w.Rotate(ctx, suffix))(t)
	w.sizes[old] = need(os.Stat(old))(t).Size()
	need(os.Stat(w.LogPath))(t)
	ok(t, harness.WaitFor(ctx, 20*time.Second, "lines in the new log", func(context.Context) error {
		if info, err := os.Stat(w.LogPath); err != nil || info.Size() == 0 {
			return fmt.Errorf("log is %v, error %w", info, err)
		}
		return nil
	}))
}

// finish judges what is in the logs, and what the client has seen.
func (w *watched) finish(ctx context.Context, t *testing.T) {
	t.Helper()
	verdict := need(w.Finish(ctx))(t)
	ok(t, verdict.Complete())
	if verdict.Files != len(w.sizes)+1 {
		t.Errorf("%s: %d logs", w.Name, verdict.Files)
	}
	for old, size := range w.sizes {
		if info := need(os.Stat(old))(t); info.Size() != size {
			t.Errorf("%s had %d bytes when the new one was in use, and has %d", old, size, info.Size())
		}
	}
	ok(t, <-w.ended)
	lines := strings.Split(strings.ReplaceAll(w.text.String(), "\r", ""), "\n")[1:] // the first may be the rest of one
	last := 0
	for i, line := range lines {
		if n := len(lines) - 2; i == n && line == fmt.Sprintf("end %d", last+1) && lines[n+1] == "" {
			t.Logf("%s: %+v, the client has %d lines", w.Name, verdict, n)
			return
		}
		number, up := 0, ""
		if _, err := fmt.Sscanf(line, "%d %s", &number, &up); err != nil || i > 0 && number != last+1 {
			t.Fatalf("%s: client has %q after line %d", w.Name, line, last)
		}
		last = number
	}
	t.Errorf("%s: client has no end after line %d", w.Name, last)
}

// TestDrainingAndLogRotates rotates logs of containers whose attached clients'
// streamer drains, before and after the pumps have moved on once more.
func TestDrainingAndLogRotates(t *testing.T) {
	// Held back to what a client can follow on any machine.
	group := ownGroup(t, func(c *config.Config) { c.Streamer.LogRateLimit = 1 << 20 })
	ctx := limit(t, 3*time.Minute)
	pod := runPod(t, group.CRI, "rotated")
	var all []*watched
	for _, kind := range harness.NumberedKinds {
		all = append(all, watch(ctx, t, pod, kind))
	}
	b := &busy{group: group}
	for _, member := range []string{"runtime", "netsync"} {
		b.kill(t, member)
		b.awaitElders(t, 1)
		for _, w := range all {
			w.rotate(ctx, t, "before-"+member)
			w.rotate(ctx, t, "after-"+member)
		}
	}
	for _, w := range all {
		w.finish(ctx, t)
	}
	b.awaitElders(t, 0)
}

// TestDrainingAndContainerEnds stops and removes containers while sessions of
// them drain: these end in order, and nothing of them is left.
func TestDrainingAndContainerEnds(t *testing.T) {
	b := startBusy(t)
	ctx := limit(t, 2*time.Minute)
	before := need(b.group.Residue(ctx))(t)
	victim := need(b.pod.Run(ctx, "victim", terminal, harness.Shell("exec sh")))(t)
	ended := make(map[*console]int)
	var processes []int
	for i, transport := range transports {
		ended[openConsole(ctx, t, transport, need(victim.AttachURL(ctx, true, true))(t))] = 0
		exec := openConsole(ctx, t, transport, need(victim.ExecURL(ctx, true, true, "/bin/sh"))(t))
		ended[exec] = 128 + int(unix.SIGKILL)
		mark := fmt.Sprintf("sleep 700%d", 5+i)
		need(fmt.Fprint(exec.typed, mark+"\n"))(t)
		ok(t, harness.Wait(ctx, mark, func(context.Context) error {
			pid, err := harness.FindProcess(b.pod, strings.ReplaceAll(mark, " ", "\x00"))
			if err == nil {
				processes = append(processes, pid)
			}
			return err
		}))
	}
	b.kill(t, "runtime")
	b.awaitElders(t, 1)
	for _, container := range []*harness.Container{victim, b.attached[0]} {
		ok(t, container.Stop(ctx, 0))
		ok(t, container.Remove(ctx))
	}
	for s, want := range ended {
		if code, err := s.result(ctx); code != want || err != nil {
			t.Errorf("exit code %d, want %d, error %v", code, want, err)
		}
	}
	// The end is a success, though not asked for by the client.
	says(t, b.flows[1].Err(ctx), "ended by itself")
	for _, pid := range processes {
		if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
			t.Errorf("process %d is there, error %v", pid, err)
		}
	}
	b.flows = append(b.flows[:1:1], b.flows[2:]...)
	b.await(t)
	ok(t, b.group.AwaitNoResidue(limit(t, 20*time.Second), before))
	b.finish(t)
	b.awaitElders(t, 0)
	if left := need(filepath.Glob(filepath.Join(b.group.Config.State, "exec", "*")))(t); len(left) != 1 {
		t.Errorf("the streamers' directories are %v", left)
	}
}

// TestEndOfInputSurvivesTheStreamer: a client's input ends while containerd
// hangs, and the streamer that is to tell containerd is killed.
func TestEndOfInputSurvivesTheStreamer(t *testing.T) {
	group := ownGroup(t)
	ctx := limit(t, 2*time.Minute)
	pod := runPod(t, group.CRI, "input")
	container := need(pod.Run(ctx, "cat", cat))(t)
	seen := newScreen()
	client, typed := io.Pipe()
	ended := make(chan error, 1)
	session := stream.Session{
		Transport: stream.SPDY, URL: need(container.AttachURL(ctx, false, true))(t), Stdin: client, Stdout: seen, Stderr: io.Discard,
	}
	go func() {
		_, err := session.Run(ctx)
		ended <- err
	}()
	need(io.WriteString(typed, "typed\n"))(t)
	ok(t, seen.await(ctx, "typed\n"))
	ok(t, stage.Lab.RestartContainerd(ctx, func() {
		ok(t, typed.Close())
		awaitGone(t, filepath.Join(group.Config.State, "io", container.ID, "stdin"))
		need(group.Kill(ctx, "streamer"))(t)
		t.Logf("the session ended with %v", <-ended)
	}))
	ok(t, group.AwaitReady(ctx))
	if status := need(container.AwaitExit(ctx))(t); status.GetExitCode() != 0 {
		t.Errorf("exit code %d", status.GetExitCode())
	}
}
