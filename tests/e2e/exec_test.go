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

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/stream"
)

// openSleep opens a session with a command that lasts, known by its argument,
// and returns when it runs. The session ends with ctx.
func openSleep(ctx context.Context, t *testing.T, container *harness.Container, seconds int) <-chan struct{} {
	t.Helper()
	screen, ended := newScreen(), make(chan struct{})
	session := stream.Session{
		Transport: stream.SPDY, Stdout: screen, Stderr: io.Discard,
		URL: need(container.ExecURL(ctx, false, false, "/bin/sh", "-c", fmt.Sprintf("echo up; exec sleep %d", seconds)))(t),
	}
	go func() {
		defer close(ended)
		_, _ = session.Run(ctx) // ends as the test wants it to
	}()
	ok(t, screen.await(ctx, "up"))
	return ended
}

// awaitEnd waits until no command with an argument runs in the container.
func awaitEnd(ctx context.Context, t *testing.T, container *harness.Container, seconds int) {
	t.Helper()
	ok(t, harness.Wait(ctx, "the command's end", func(ctx context.Context) error {
		out, err := container.Output(ctx, "ps -o args")
		if err == nil && strings.Contains(out, fmt.Sprintf("sleep %d", seconds)) {
			err = errors.New("it runs")
		}
		return err
	}))
}

// TestExecLimit: a session too many is told why; probes are counted apart.
func TestExecLimit(t *testing.T) {
	ctx := limit(t, 2*time.Minute)
	group := ownGroup(t, func(c *config.Config) { c.Streamer.ExecsPerContainer = 1 })
	pod := runPod(t, group.CRI, "limit")
	container, other := need(pod.Run(ctx, "main"))(t), need(pod.Run(ctx, "other"))(t)
	first, leave := context.WithCancel(ctx)
	defer leave()
	ended := openSleep(first, t, container, 7001)
	refused := stream.Session{
		Transport: stream.SPDY, Stdout: io.Discard, Stderr: io.Discard, URL: need(container.ExecURL(ctx, false, false, "true"))(t),
	}
	_, err := refused.Run(ctx)
	says(t, err, "1 exec sessions already", "max_execs_per_container")
	awaitEnd(ctx, t, container, 7002) // which runs commands at once
	second, leaveToo := context.WithCancel(ctx)
	endedToo := openSleep(second, t, other, 7003)
	leaveToo()
	<-endedToo
	leave()
	<-ended
	awaitEnd(ctx, t, container, 7001)
	ok(t, harness.Wait(ctx, "the seat", func(ctx context.Context) (err error) {
		if refused.URL, err = container.ExecURL(ctx, false, false, "true"); err != nil {
			return err
		}
		_, err = refused.Run(ctx)
		return err
	}))
}

// TestExecOrphans: streamer dies with a session. The next one ends the
// command, and nothing of it is left.
func TestExecOrphans(t *testing.T) {
	ctx := limit(t, 2*time.Minute)
	group := ownGroup(t)
	container := need(runPod(t, group.CRI, "orphans").Run(ctx, "main"))(t)
	ended := openSleep(ctx, t, container, 7004)
	before := need(group.Kill(ctx, "streamer"))(t)
	<-ended
	ok(t, group.AwaitGeneration(ctx, before))
	awaitEnd(ctx, t, container, 7004)
	ok(t, harness.Wait(ctx, "no directory to be left", func(context.Context) error {
		left, err := filepath.Glob(filepath.Join(group.Config.State, "exec", "*", "*.*"))
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("left: %v", left)
		}
		return err
	}))
}

// TestExecThroughContainerd: commands run also when the shim is not found.
func TestExecThroughContainerd(t *testing.T) {
	ctx := limit(t, time.Minute)
	group := ownGroup(t, func(c *config.Config) { c.Containerd.State = filepath.Join(c.State, "nothing") })
	if _, err := os.Stat(group.Config.Containerd.State); err == nil {
		t.Fatal("there is something")
	}
	container := need(runPod(t, group.CRI, "past").Run(ctx, "main"))(t)
	if out := need(container.Output(ctx, "echo through containerd"))(t); out != "through containerd\n" {
		t.Errorf("output is %q", out)
	}
}

// TestExecSyncOutput: more than a kubelet takes is cut off, and is no error.
func TestExecSyncOutput(t *testing.T) {
	ctx := limit(t, time.Minute)
	container := need(runPod(t, stage.CRI(), "output").Run(ctx, "main"))(t)
	reply := need(container.ExecSync(ctx, 30*time.Second, "/bin/sh", "-c", "dd if=/dev/zero bs=1M count=20 2>/dev/null; echo end >&2"))(t)
	if n := len(reply.GetStdout()) + len(reply.GetStderr()); n != 16<<20-4<<10 || string(reply.GetStderr()) != "end\n" {
		t.Errorf("%d bytes, stderr %q", n, reply.GetStderr())
	}
}
