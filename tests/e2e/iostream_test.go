//go:build e2e

package e2e_test

import (
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/flow"
	"github.com/trivet-cri/trivet/tests/harness/stream"
)

// TestStreamingIO has the streams of containers and of commands from a shim
// that serves them: logs, exec and attach, over hand-overs and a kill.
func TestStreamingIO(t *testing.T) {
	group := ownGroup(t, withHandlers(t))
	ctx := limit(t, 4*time.Minute)
	before := need(group.Residue(ctx))(t)
	pod := need(group.RunPodConfig(ctx, need(group.PodConfig("streaming"))(t), "streaming"))(t)

	for range 3 {
		pair := need(pod.Run(ctx, "pair", harness.Shell("echo out; echo err >&2; exit 3")))(t)
		if status := need(pair.AwaitExit(ctx))(t); status.GetExitCode() != 3 {
			t.Errorf("exit code %d", status.GetExitCode())
		}
		ok(t, pair.AwaitLog(ctx, "out"))
		ok(t, pair.AwaitLog(ctx, "err"))
		ok(t, pair.Remove(ctx))
	}
	screen := need(pod.Run(ctx, "screen", harness.Shell("test -t 1 && echo a terminal"), func(c *runtimeapi.ContainerConfig) { c.Tty = true }))(t)
	ok(t, screen.AwaitLog(ctx, "a terminal"))

	cats := need(pod.Run(ctx, "cat", cat))(t)
	var numbered []*harness.Numbered
	for _, kind := range harness.NumberedKinds {
		numbered = append(numbered, need(pod.RunNumbered(ctx, kind))(t))
	}
	if out := need(cats.ExecSync(ctx, 10*time.Second, "sh", "-c", "echo out; echo err >&2; exit 5"))(t); string(out.GetStdout()) != "out\n" || string(out.GetStderr()) != "err\n" || out.GetExitCode() != 5 {
		t.Errorf("exec-sync: %v", out)
	}
	flows := []*flow.Flow{
		need(flow.Exec(t.Context(), "exec", stream.WebSocket, cats))(t),
		need(flow.Attach(t.Context(), "attach", stream.SPDY, cats))(t),
	}
	for _, member := range []string{"runtime", "netsync"} { // streamer hands over
		for _, f := range flows {
			ok(t, f.AwaitMoved(ctx, 20<<10))
		}
		generation := need(group.Kill(ctx, member))(t)
		ok(t, group.AwaitGeneration(ctx, generation))
	}
	for _, f := range flows {
		ok(t, f.AwaitMoved(ctx, 20<<10))
		ok(t, f.Finish(ctx))
	}
	if status := need(cats.AwaitExit(ctx))(t); status.GetExitCode() != 0 { // stdin_once has closed its input
		t.Errorf("cat's exit code is %d", status.GetExitCode())
	}
	for i, n := range numbered {
		verdict := need(n.Finish(ctx))(t)
		// What is sent just as a connection ends may be lost: a message of a
		// slow one, a window at each hand-over of a fast one. Nothing comes twice.
		underWay := 4
		if harness.NumberedKinds[i].Fast {
			underWay = 4000
		}
		if verdict.Complete() != nil && (verdict.Twice > 0 || verdict.Lost+verdict.Torn > underWay) {
			t.Errorf("%s: %v", n.Name, verdict.Complete())
		}
		t.Logf("%s: %+v", n.Name, verdict)
	}

	// What is under way at a kill may be lost. Nothing comes twice, and it goes on.
	counter := need(pod.RunCounter(ctx, "counter", 10, 10*time.Millisecond))(t)
	ok(t, counter.AwaitLog(ctx, "100"))
	generation := need(group.Kill(ctx, "streamer"))(t)
	ok(t, group.AwaitGeneration(ctx, generation))
	if out := need(counter.Output(ctx, "echo it runs"))(t); strings.TrimSpace(out) != "it runs" {
		t.Errorf("after a kill: %q", out)
	}
	loss := need(counter.Finish(ctx))(t)
	if loss.Twice > 0 || loss.Torn > 1 {
		t.Errorf("after a kill: %+v", loss)
	}
	ok(t, counter.AwaitLog(ctx, "end"))
	t.Logf("a kill: %+v", loss)
	ok(t, pod.Remove(ctx))
	ok(t, group.AwaitNoResidue(ctx, before))
}
