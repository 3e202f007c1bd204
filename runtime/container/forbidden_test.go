package container_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// TestForbidden: what a container is known to have used tells of its end; what
// is kept of its notifier lasts until then.
func TestForbidden(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		note    string // empty: that of the creation
		code    uint32
		reason  string
		message string
	}{
		"nothing used":      {"", 3, "Error", ""},
		"used":              {`{"used":{"swapoff":2,"acct":1}}`, 3, "Error", "Used forbidden syscalls: acct (1x), swapoff (2x)"},
		"used, and no harm": {`{"used":{"swapoff":2}}`, 0, "Completed", ""},
		"killed":            {`{"stop":true,"used":{"swapoff":2},"killed":true}`, 137, "seccomp killed", "Used forbidden syscalls: swapoff (2x)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newListeningNode(t)
			c := n.start(t, "server", func(c *runtimeapi.ContainerConfig) {
				c.Linux.SecurityContext.Seccomp = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
			})
			s, err := n.World.Containers.ContainerSpec(t.Context(), c.ID)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(s.Linux.Seccomp.ListenerPath); err != nil || info.Mode().Type() != os.ModeSocket {
				t.Errorf("the filter's socket: %v, %v", info, err)
			}
			if test.note != "" {
				if err := os.WriteFile(filepath.Join(n.NotifierDir(), c.ID), []byte(test.note), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c = n.restart(t, c)
			if _, err := os.Stat(s.Linux.Seccomp.ListenerPath); err != nil {
				t.Errorf("after a restart: %v", err)
			}
			n.Tasks.Exit(c.ID, test.code)
			await(t, "the exit", func() bool { return c.State().Phase == exited })
			if state := c.State(); state.Reason != test.reason || state.Message != test.message {
				t.Errorf("%s: %s", state.Reason, state.Message)
			}
			await(t, "the end of its notifier", func() bool { left, _ := os.ReadDir(n.NotifierDir()); return len(left) == 0 })
		})
	}
}

// TestNothingForbidden: without a profile there is nothing to hear of.
func TestNothingForbidden(t *testing.T) {
	t.Parallel()
	n := newListeningNode(t)
	n.start(t, "server")
	if left, err := os.ReadDir(n.NotifierDir()); err != nil || len(left) > 0 {
		t.Errorf("there are %v, %v", left, err)
	}
}

// newListeningNode has a pod that asks to hear of forbidden system calls.
func newListeningNode(t *testing.T) *node {
	t.Helper()
	dir, err := os.MkdirTemp("", "forbidden") //nolint:usetesting // with the test's name a socket's path is too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w, err := containertest.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{World: w}
	n.begin(t)
	sandbox := podtest.Sandbox("web")
	sandbox.Annotations = map[string]string{"seccomp-notifier-action.crio.io": ""}
	if n.pod, err = n.Pods.Run(t.Context(), sandbox, "listening"); err != nil {
		t.Fatal(err)
	}
	return n
}

// await waits for a condition. The clock is the real one: sockets are.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
