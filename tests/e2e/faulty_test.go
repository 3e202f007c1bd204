//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/faulty"
)

// TestFaultAtEveryStep fails, one after the other, every call that a pod's
// start makes to containerd: before it is carried out, and after. The start
// either succeeds all the same or leaves nothing behind.
func TestFaultAtEveryStep(t *testing.T) {
	proxy, group := behindProxy(t)
	for _, operation := range []struct {
		name string
		run  func(ctx context.Context) error
	}{
		{"RunPodSandbox", func(ctx context.Context) error { return run1(ctx, group.CRI, "faulty-pod", "") }},
		{"CreateContainer", func(ctx context.Context) error { return createIn(ctx, group.CRI, "faulty-container") }},
	} {
		t.Run(operation.name, func(t *testing.T) {
			ctx := limit(t, 10*time.Minute)
			proxy.Reset(-1, faulty.Before)
			ok(t, operation.run(ctx)) // warm, and shows that it works
			before := need(group.Residue(ctx))(t)
			for _, mode := range []faulty.Mode{faulty.Before, faulty.After} {
				failEach(ctx, t, proxy, group, before, mode, operation.run)
			}
		})
	}
}

// failEach arms one call after the other until the operation makes fewer.
func failEach(ctx context.Context, t *testing.T, proxy *faulty.Proxy, group *harness.Group, before harness.Residue, mode faulty.Mode, run func(context.Context) error) {
	t.Helper()
	failures := 0
	for n := 0; ; n++ {
		proxy.Reset(n, mode)
		err := run(ctx)
		calls, hit := proxy.Calls()
		proxy.Reset(-1, faulty.Before)
		if !hit {
			ok(t, err)
			t.Logf("%s: %d calls failed one by one, %d times the operation with them", mode, n, failures)
			return
		}
		what := fmt.Sprintf("fault %s call %d, %s", mode, n, calls[n])
		if err != nil {
			failures++
			// Whatever was left for Stop and Remove to finish, they finish.
			if err := group.Purge(ctx); err != nil {
				t.Fatalf("%s: remove what was left: %v", what, err)
			}
		}
		if err := harness.WaitFor(ctx, 20*time.Second, what, func(ctx context.Context) error { return group.AwaitNoResidue(ctx, before) }); err != nil {
			t.Errorf("%s (the operation's error: %v): %v", what, err, err)
		}
	}
}

// behindProxy starts a group whose calls to containerd go through a proxy.
func behindProxy(t *testing.T) (*faulty.Proxy, *harness.Group) {
	t.Helper()
	socket := filepath.Join(workDir, "faulty-"+harness.Unique()[:8]+".sock")
	proxy := need(faulty.Start(socket, stage.Lab.ContainerdSocket))(t)
	t.Cleanup(proxy.Stop)
	return proxy, ownGroup(t, func(c *config.Config) { c.Containerd.Socket = socket })
}
