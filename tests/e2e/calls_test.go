//go:build e2e

package e2e_test

import (
	"slices"
	"testing"
	"time"

	"github.com/trivet-cri/trivet/tests/harness/faulty"
)

// TestCallsOfStart counts the calls that the start of a plain pod makes to
// containerd, netsync and streamer, once its image is known. Each is a wait, and
// a commit to a database most times, on the way of every pod of the node.
func TestCallsOfStart(t *testing.T) {
	proxy, group := behindProxy(t)
	ctx := limit(t, 2*time.Minute)
	want := map[string][]string{
		"RunPodSandbox":   {"/containerd.services.sandbox.v1.Store/Create", "/trivet.netsync.v1.NetSync/Attach"},
		"CreateContainer": {"/containerd.services.containers.v1.Containers/Create", "/containerd.services.snapshots.v1.Snapshots/Prepare"},
		"StartContainer": {
			"/containerd.services.tasks.v1.Tasks/Create", "/containerd.services.tasks.v1.Tasks/Start", "/trivet.streamer.v1.Streamer/OpenIO",
		},
	}
	// The first round reads the image's users. What runs in the background can
	// only add calls, and does not in each round.
	fewest := make(map[string][]string)
	for range 4 {
		s := need(newScene(group.CRI, group.Dir()))(t)
		for _, op := range operations[:3] {
			proxy.Arm(-1, faulty.Before, nil)
			ok(t, op.call(ctx, s))
			calls, _ := proxy.Disarm()
			slices.Sort(calls)
			if before, counted := fewest[op.name]; !counted || len(calls) < len(before) {
				fewest[op.name] = calls
			}
		}
		ok(t, s.pod.Remove(ctx))
	}
	for name, calls := range want {
		if !slices.Equal(fewest[name], calls) {
			t.Errorf("%s makes the calls %q, want %q", name, fewest[name], calls)
		}
	}
}
