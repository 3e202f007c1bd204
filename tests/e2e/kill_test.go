//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
)

// running is what must survive a kill: a pod with a container that sleeps,
// one that writes its log, and one that exits while nobody watches.
type running struct {
	group   *harness.Group
	pod     *harness.Pod
	sleeper *harness.Container
	counter *harness.Counter
	leaver  *harness.Container
	pids    map[string]int
	table   string
}

func runAll(t *testing.T, group *harness.Group) *running {
	t.Helper()
	ctx := limit(t, time.Minute)
	r := &running{group: group, pod: runPod(t, group.CRI, "survivor")}
	r.sleeper = need(r.pod.Run(ctx, "sleeper"))(t)
	r.counter = need(r.pod.RunCounter(ctx, "counter", 10, 10*time.Millisecond))(t)
	r.leaver = need(r.pod.Run(ctx, "leaver", harness.Shell("trap 'echo left; exit 7' USR1; echo here; while :; do sleep 1 & wait $!; done")))(t)
	ok(t, r.leaver.AwaitLog(ctx, "here"))
	r.pids = r.readPIDs(t)
	r.table = r.crictlPS(t)
	return r
}

func (r *running) readPIDs(t *testing.T) map[string]int {
	t.Helper()
	ctx := limit(t, time.Minute)
	return map[string]int{
		"sleeper": need(r.sleeper.PID(ctx))(t),
		"counter": need(r.counter.PID(ctx))(t),
	}
}

// crictlPS is what crictl ps and crictl pods show, but for the container
// that exits meanwhile.
func (r *running) crictlPS(t *testing.T) string {
	t.Helper()
	ctx := limit(t, time.Minute)
	text := ""
	for _, command := range [][]string{{"ps", "-a", "-o", "json"}, {"pods", "-o", "json"}} {
		var list map[string][]map[string]any
		ok(t, json.Unmarshal([]byte(need(r.group.Crictl(ctx, command...))(t)), &list))
		for _, items := range list {
			for _, item := range items {
				if item["id"] != r.leaver.ID {
					text += string(need(json.MarshalIndent(item, "", " "))(t)) + "\n"
				}
			}
		}
	}
	return text
}

// check looks at everything after the group is back.
func (r *running) check(t *testing.T) {
	t.Helper()
	ctx := limit(t, time.Minute)
	left := need(r.leaver.AwaitExit(ctx))(t)
	if left.GetExitCode() != 7 {
		t.Errorf("the container that exited meanwhile has exit code %d, reason %s, want 7", left.GetExitCode(), left.GetReason())
	}
	ok(t, r.leaver.AwaitLog(ctx, "left"))
	if pids := r.readPIDs(t); !maps.Equal(pids, r.pids) {
		t.Errorf("process ids were %v and are %v", r.pids, pids)
	}
	if table := r.crictlPS(t); table != r.table {
		t.Errorf("crictl showed\n%s\nand now shows\n%s", r.table, table)
	}
	if out := need(r.sleeper.Output(ctx, "echo alive"))(t); out != "alive\n" {
		t.Errorf("exec gives %q", out)
	}
	loss := need(r.counter.Finish(ctx))(t)
	ok(t, loss.Complete())
	// The pod takes new containers as before.
	fresh := need(r.pod.Run(ctx, "fresh"))(t)
	need(fresh.Output(ctx, "true"))(t)
}

// TestKillMember kills each member while containers run, write and exit.
func TestKillMember(t *testing.T) {
	for _, member := range []string{"runtime", "streamer", "netsync"} {
		t.Run(member, func(t *testing.T) {
			group := ownGroup(t)
			r := runAll(t, group)
			caller := harness.StartCaller(t.Context(), group.CRI)
			old := need(group.Kill(limit(t, time.Minute), member))(t)
			ok(t, unix.Kill(need(leaverPID(r))(t), unix.SIGUSR1))
			ok(t, group.AwaitGeneration(limit(t, time.Minute), old))
			calls, slowest, refused := caller.Stop()
			if len(refused) > 0 {
				t.Errorf("of %d calls on new connections %d failed: %v", calls, len(refused), errors.Join(refused...))
			}
			t.Logf("%d calls on new connections, the slowest took %s", calls, slowest)
			r.check(t)
			status := need(group.Status(limit(t, time.Minute)))(t)
			history := status.GetHistory()
			if len(history) != 1 || status.GetRestarts() != 1 {
				t.Errorf("one member was killed once; the history is %v, restarts %d", history, status.GetRestarts())
			}
		})
	}
}

// leaverPID finds the process on the host by its pod's cgroup, for the
// runtime is not there to be asked.
func leaverPID(r *running) (int, error) { return harness.FindProcess(r.pod, "exit 7") }

// TestKillLauncher kills the launcher: its members follow it, containers do
// not, and a new launcher finds everything.
func TestKillLauncher(t *testing.T) {
	group := ownGroup(t)
	r := runAll(t, group)
	members := need(group.Status(limit(t, time.Minute)))(t).GetMembers()
	ok(t, group.KillLauncher(limit(t, time.Minute)))
	ok(t, unix.Kill(need(leaverPID(r))(t), unix.SIGUSR1))
	ok(t, harness.WaitFor(limit(t, time.Minute), 30*time.Second, "the members to end", func(context.Context) error {
		for _, m := range members {
			if unix.Kill(int(m.GetPid()), 0) == nil {
				return fmt.Errorf("%s with pid %d runs", m.GetName(), m.GetPid())
			}
		}
		return nil
	}))
	ok(t, group.Start(limit(t, time.Minute)))
	r.check(t)
}

// TestStopGroup stops the group in order: containers keep running and the
// next group takes them over.
func TestStopGroup(t *testing.T) {
	group := ownGroup(t)
	r := runAll(t, group)
	ok(t, group.Process().Stop(time.Minute))
	ok(t, unix.Kill(need(leaverPID(r))(t), unix.SIGUSR1))
	ok(t, group.Start(limit(t, time.Minute)))
	r.check(t)
}

// TestExistingConnection kills the runtime under a client that keeps its
// connection, as a kubelet does: calls work again as soon as it serves.
func TestExistingConnection(t *testing.T) {
	group := ownGroup(t)
	old := need(group.Kill(limit(t, time.Minute), "runtime"))(t)
	begun := time.Now()
	ok(t, harness.WaitFor(limit(t, time.Minute), 10*time.Second, "the old connection to work again", func(ctx context.Context) error {
		_, err := group.Version(ctx, &runtimeapi.VersionRequest{})
		return err
	}))
	t.Logf("an existing connection works again after %s", time.Since(begun).Round(time.Millisecond))
	ok(t, group.AwaitGeneration(limit(t, time.Minute), old))
}

// TestRestartCommand asks for a new generation the polite way.
func TestRestartCommand(t *testing.T) {
	group := ownGroup(t)
	r := runAll(t, group)
	caller := harness.StartCaller(t.Context(), group.CRI)
	old := need(group.Status(limit(t, time.Minute)))(t).GetGeneration()
	ok(t, group.Process().Signal(unix.SIGHUP))
	ok(t, group.AwaitGeneration(limit(t, time.Minute), old))
	if calls, _, refused := caller.Stop(); len(refused) > 0 {
		t.Errorf("of %d calls on new connections %d failed: %v", calls, len(refused), errors.Join(refused...))
	}
	ok(t, unix.Kill(need(leaverPID(r))(t), unix.SIGUSR1))
	r.check(t)
}
