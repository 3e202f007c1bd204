//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/flow"
	"github.com/trivet-cri/trivet/tests/harness/stream"
)

// cat is an edit: the container answers what is written to its stdin.
func cat(c *runtimeapi.ContainerConfig) {
	c.Command, c.Stdin, c.StdinOnce = []string{"cat"}, true, true
}

// busy is a group with a session of each kind and transport that moves data.
type busy struct {
	group    *harness.Group
	pod      *harness.Pod
	attached []*harness.Container
	echo     *harness.Container
	flows    []*flow.Flow
}

func startBusy(t *testing.T, edits ...func(*config.Config)) *busy {
	t.Helper()
	ctx := limit(t, time.Minute)
	b := &busy{group: ownGroup(t, edits...)}
	b.pod = runPod(t, b.group.CRI, "busy")
	b.echo = need(b.pod.Run(ctx, "echo", flow.Echo("echo")))(t)
	ok(t, b.echo.AwaitLog(ctx, "echo is up"))
	for _, transport := range transports {
		name := string(transport)
		container := need(b.pod.Run(ctx, "cat-"+name, cat))(t)
		b.attached = append(b.attached, container)
		// The session of a flow outlives the start's deadline.
		life := t.Context()
		b.flows = append(b.flows,
			need(flow.Exec(life, "exec over "+name, transport, b.echo))(t),
			need(flow.Attach(life, "attach over "+name, transport, container))(t),
			need(flow.Forward(life, "port-forward over "+name, transport, b.pod))(t))
	}
	b.await(t)
	return b
}

// await waits until every flow has moved something.
func (b *busy) await(t *testing.T) {
	t.Helper()
	ctx := limit(t, time.Minute)
	for _, f := range b.flows {
		ok(t, f.AwaitMoved(ctx, 20<<10))
	}
}

// finish ends every flow in order.
func (b *busy) finish(t *testing.T) {
	t.Helper()
	ctx := limit(t, time.Minute)
	for _, f := range b.flows {
		if err := f.Finish(ctx); err != nil {
			t.Error(err)
		}
		t.Logf("%s: %d bytes", f.Name, f.Moved())
	}
}

// kill kills a member and waits for the next generation.
func (b *busy) kill(t *testing.T, member string) {
	t.Helper()
	old := need(b.group.Kill(limit(t, time.Minute), member))(t)
	ok(t, b.group.AwaitGeneration(limit(t, time.Minute), old))
}

// awaitElders waits until so many processes of earlier generations are left.
func (b *busy) awaitElders(t *testing.T, want int) []int {
	t.Helper()
	var pids []int
	ok(t, harness.WaitFor(limit(t, time.Minute), 30*time.Second, fmt.Sprintf("%d elders", want), func(ctx context.Context) error {
		status, err := b.group.Status(ctx)
		if err != nil {
			return err
		}
		pids = nil
		for _, e := range status.GetElders() {
			pids = append(pids, int(e.GetPid()))
		}
		if len(pids) != want {
			return fmt.Errorf("elders are %v", status.GetElders())
		}
		return nil
	}))
	return pids
}

// TestHandOver restarts the group under sessions of all kinds that move data:
// none drops, no byte is lost or comes twice.
func TestHandOver(t *testing.T) {
	b := startBusy(t)
	logged := need(b.pod.RunCounter(limit(t, time.Minute), "counter", 10, 10*time.Millisecond))(t)
	url := need(b.attached[0].ExecURL(limit(t, time.Minute), false, false, "echo", "still valid"))(t)
	for _, member := range []string{"runtime", "netsync", "runtime"} {
		b.kill(t, member)
		b.await(t)
	}
	b.awaitElders(t, 1) // all sessions are in the first
	out := newScreen()
	code := need(stream.Session{Transport: stream.SPDY, URL: url, Stdout: out, Stderr: io.Discard}.Run(limit(t, time.Minute)))(t)
	if ok(t, out.await(limit(t, time.Second), "still valid\n")); code != 0 {
		t.Errorf("exit code %d", code)
	}
	b.finish(t)
	for _, container := range b.attached { // stdin_once has closed its input
		if status := need(container.AwaitExit(limit(t, time.Minute)))(t); status.GetExitCode() != 0 {
			t.Errorf("exit code %d", status.GetExitCode())
		}
	}
	b.awaitElders(t, 0)
	ok(t, need(logged.Finish(limit(t, time.Minute)))(t).Complete())
}

// TestHandOverThenKilled kills a draining streamer: its commands are reaped,
// and the clients of its sessions see an end.
func TestHandOverThenKilled(t *testing.T) {
	b := startBusy(t)
	b.kill(t, "runtime")
	elders := b.awaitElders(t, 1)
	ok(t, unix.Kill(elders[0], unix.SIGKILL))
	b.awaitElders(t, 0)
	for _, f := range b.flows {
		if err := f.Err(limit(t, time.Minute)); err == nil {
			t.Errorf("%s ended without an error", f.Name)
		}
	}
	b.awaitNoCats(t)
}

// awaitNoCats waits until what the sessions ran in the container has gone.
func (b *busy) awaitNoCats(t *testing.T) {
	t.Helper()
	cats := "for p in /proc/[0-9]*; do read -r name < $p/comm && [ $name = cat ] && echo $p; done; true"
	ok(t, harness.WaitFor(limit(t, time.Minute), 30*time.Second, "its commands to be killed", func(ctx context.Context) error {
		out, err := b.echo.Output(ctx, cats)
		if err == nil && out != "" {
			err = fmt.Errorf("there are %q", out)
		}
		return err
	}))
}

// TestDrainTimeout ends sessions that have lived on for too long.
func TestDrainTimeout(t *testing.T) {
	b := startBusy(t, func(c *config.Config) { c.Launcher.DrainTimeout = config.Duration(2 * time.Second) })
	b.kill(t, "netsync")
	b.awaitElders(t, 0)
	for _, f := range b.flows {
		says(t, f.Err(limit(t, time.Minute)), f.Name)
	}
	for _, container := range b.attached { // whose input is not closed by that
		if status := need(container.Status(limit(t, time.Minute)))(t); status.GetState() != runtimeapi.ContainerState_CONTAINER_RUNNING {
			t.Errorf("container is %s", status.GetState())
		}
	}
}

// TestHandOverAndLauncherDies kills the launcher while sessions drain: the
// draining streamer dies with it and nothing of it stays.
func TestHandOverAndLauncherDies(t *testing.T) {
	b := startBusy(t)
	b.kill(t, "netsync")
	elder := b.awaitElders(t, 1)[0]
	ok(t, b.group.KillLauncher(limit(t, time.Minute)))
	ok(t, harness.WaitFor(limit(t, time.Minute), 20*time.Second, "the draining streamer to end", func(context.Context) error {
		if err := unix.Kill(elder, 0); err == nil {
			return fmt.Errorf("process %d is there", elder)
		}
		return nil
	}))
	ok(t, b.group.Start(limit(t, time.Minute)))
	for _, f := range b.flows {
		says(t, f.Err(limit(t, time.Minute)), f.Name)
	}
	b.awaitNoCats(t)
}

// TestHandOverTerminal types into terminals, of a command and of a container,
// and resizes them after their streamer has handed over, twice.
func TestHandOverTerminal(t *testing.T) {
	group := ownGroup(t)
	ctx := limit(t, 2*time.Minute)
	pod := runPod(t, group.CRI, "terminals")
	plain := need(pod.Run(ctx, "plain"))(t)
	shell := need(pod.Run(ctx, "shell", terminal, harness.Shell("exec sh")))(t)
	for name, url := range map[string]string{
		"exec": need(plain.ExecURL(ctx, true, true, "/bin/sh"))(t), "attach": need(shell.AttachURL(ctx, true, true))(t),
	} {
		screen := openConsole(ctx, t, stream.SPDY, url)
		for i, member := range []string{"runtime", "netsync"} {
			old := need(group.Kill(ctx, member))(t)
			ok(t, group.AwaitGeneration(ctx, old))
			screen.sizes <- stream.Size{Width: 120, Height: uint16(40 + i)}
			screen.awaitSize(ctx, t, fmt.Sprintf("%d 120", 40+i))
		}
		if code, err := screen.exit(ctx, 0); code != 0 || err != nil {
			t.Errorf("%s: exit code %d, error %v", name, code, err)
		}
	}
}
