//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
)

// TestLogsSurviveKills writes numbered lines in all ways while members are
// killed and logs rotate by themselves and by a kubelet at the same time.
func TestLogsSurviveKills(t *testing.T) {
	group := ownGroup(t, func(c *config.Config) { c.Streamer.LogMaxSize, c.Streamer.LogMaxFiles = 1<<20, 1<<20 })
	ctx := limit(t, 5*time.Minute)
	pod := runPod(t, group.CRI, "logs")
	var writers []*harness.Numbered
	var containers []*harness.Container
	for _, kind := range harness.NumberedKinds {
		writer := need(pod.RunNumbered(ctx, kind))(t)
		writers, containers = append(writers, writer), append(containers, writer.Container)
	}
	rotator := harness.StartRotator(ctx, group.CRI, containers...)
	for _, member := range []string{"streamer", "runtime", "streamer"} {
		old := need(group.Kill(ctx, member))(t)
		ok(t, group.AwaitGeneration(ctx, old))
	}
	ok(t, group.KillLauncher(ctx))
	ok(t, group.Start(ctx))
	fast := writers[0].LogPath
	ok(t, harness.WaitFor(ctx, time.Minute, "rotations of both kinds", func(context.Context) error {
		own, err := filepath.Glob(fast + ".*.*") // a fraction of a second
		if err != nil {
			return err
		}
		all, err := filepath.Glob(fast + ".*")
		if len(own) < 2 || len(all) < len(own)+2 {
			err = errors.Join(err, fmt.Errorf("logs are %v", all))
		}
		return err
	}))
	rotated, undone, err := rotator.Stop()
	ok(t, err)
	t.Logf("%d rotations, %d taken back", rotated, undone)
	for _, writer := range writers {
		verdict := need(writer.Finish(ctx))(t)
		t.Logf("%s: %+v", writer.Name, verdict)
		ok(t, verdict.Complete())
		left := need(filepath.Glob(filepath.Join(filepath.Dir(writer.LogPath), ".*")))(t)
		if len(left) > 0 {
			t.Errorf("left of rotations: %v", left)
		}
	}
}

// TestLogCondition fills the disk of a pod's logs: the node's condition says
// so, trivet status too, and both are well again when there is room.
func TestLogCondition(t *testing.T) {
	group := ownGroup(t)
	ctx := limit(t, 2*time.Minute)
	disk := t.TempDir()
	ok(t, unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"))
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ok(t, os.Mkdir(filepath.Join(disk, "pod"), 0o755))
	pod := runPod(t, group.CRI, "full", func(c *runtimeapi.PodSandboxConfig) { c.LogDirectory = filepath.Join(disk, "pod") })
	container := need(pod.Run(ctx, "writer", harness.Shell("i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done")))(t)
	ok(t, container.AwaitLog(ctx, "3"))
	awaitLogs(t, group, true, "")
	filler := filepath.Join(disk, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	awaitLogs(t, group, false, "LogsHeldBack")
	status := string(need(group.TrivetCommand(ctx, "status").CombinedOutput())(t))
	if !strings.Contains(status, "held-back") || !strings.Contains(status, "no space left") {
		t.Errorf("trivet status says\n%s", status)
	}
	ok(t, os.Remove(filler))
	awaitLogs(t, group, true, "")
	lines := need(harness.ReadLog(container.LogPath))(t)
	for i, line := range lines {
		if line.Text != fmt.Sprint(i) {
			t.Fatalf("line %d is %q", i, line.Text)
		}
	}
}

// awaitLogs waits for the condition of logs.
func awaitLogs(t *testing.T, group *harness.Group, good bool, reason string) {
	t.Helper()
	ok(t, harness.WaitFor(limit(t, time.Minute), 20*time.Second, "the condition of logs", func(ctx context.Context) error {
		reply, err := group.RuntimeServiceClient.Status(ctx, &runtimeapi.StatusRequest{})
		if err != nil {
			return err
		}
		for _, c := range reply.GetStatus().GetConditions() {
			if c.GetType() == "ContainerLogsWritten" && c.GetStatus() == good && c.GetReason() == reason {
				return nil
			}
		}
		return fmt.Errorf("conditions are %v", reply.GetStatus().GetConditions())
	}))
}
