//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
)

// TestExitReasons has containers end in each way, once while somebody looks
// and once while the whole group is away.
func TestExitReasons(t *testing.T) {
	for name, away := range map[string]bool{"looking": false, "away": true} {
		t.Run(name, func(t *testing.T) {
			group := ownGroup(t)
			ctx := limit(t, 2*time.Minute)
			pod := need(group.RunPod(ctx, "exits"))(t)
			on := func(what string) harness.ContainerEdit {
				return harness.Shell("trap '" + what + "' USR1; echo here; while :; do sleep 1 & wait $!; done")
			}
			type end struct {
				*harness.Container
				code   int32
				reason string
				signal unix.Signal
				pid    int
			}
			ends := []*end{
				{Container: need(pod.Run(ctx, "completes", on("exit 0")))(t), reason: "Completed", signal: unix.SIGUSR1},
				{Container: need(pod.Run(ctx, "fails", on("exit 3")))(t), code: 3, reason: "Error", signal: unix.SIGUSR1},
				{Container: need(pod.Run(ctx, "is-killed"))(t), code: 137, reason: "Error", signal: unix.SIGKILL},
				{Container: need(pod.Run(ctx, "grows", on("tail /dev/zero; exit $?"), limited(16*mib, 512)))(t), code: 137, reason: "OOMKilled", signal: unix.SIGUSR1},
			}
			for _, e := range ends {
				if e.signal == unix.SIGUSR1 {
					ok(t, e.AwaitLog(ctx, "here"))
				}
				e.pid = need(e.PID(ctx))(t)
			}
			if away {
				ok(t, group.Process().Stop(time.Minute))
			}
			for _, e := range ends {
				ok(t, unix.Kill(e.pid, e.signal))
			}
			if away {
				ok(t, harness.WaitFor(ctx, 20*time.Second, "the processes to end", func(context.Context) error {
					for _, e := range ends {
						if err := unix.Kill(e.pid, 0); !errors.Is(err, unix.ESRCH) {
							return fmt.Errorf("process %d is there: %w", e.pid, err)
						}
					}
					return nil
				}))
				ok(t, group.Start(limit(t, time.Minute)))
			}
			for _, e := range ends {
				status := need(e.AwaitExit(ctx))(t)
				if status.GetExitCode() != e.code || status.GetReason() != e.reason || status.GetFinishedAt() <= status.GetStartedAt() {
					t.Errorf("container %s: %v, want code %d and reason %s", status.GetMetadata().GetName(), status, e.code, e.reason)
				}
			}
		})
	}
}

// TestStartError has the OCI runtime's own words in error and status.
func TestStartError(t *testing.T) {
	group := stage.Group
	ctx := limit(t, time.Minute)
	for _, handler := range []string{"runc", "crun"} {
		cfg := need(group.PodConfig("start-error-" + handler))(t)
		pod := need(group.RunPodConfig(ctx, cfg, handler))(t)
		t.Cleanup(func() {
			if err := pod.Remove(context.WithoutCancel(ctx)); err != nil {
				t.Errorf("remove pod: %v", err)
			}
		})
		c := need(pod.Create(ctx, "lacks", func(c *runtimeapi.ContainerConfig) { c.Command = []string{"/no/such/program"} }))(t)
		says(t, c.Start(ctx), "/no/such/program", "o such file or directory") // each with its own capital
		status := need(c.Status(ctx))(t)
		if status.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED || status.GetExitCode() != 128 || status.GetReason() != "StartError" {
			t.Errorf("by %s: %v", handler, status)
		}
		says(t, errors.New(status.GetMessage()), "/no/such/program", "o such file or directory")
	}
}
