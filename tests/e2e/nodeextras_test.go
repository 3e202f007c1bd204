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

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
)

// TestNodeExtras starts real containers with what the node adds to all, and
// to those that ask for it: devices, default mounts and hooks.
func TestNodeExtras(t *testing.T) {
	dir := t.TempDir()
	hooks, heard := filepath.Join(dir, "hooks.d"), filepath.Join(dir, "heard")
	writeAll(t, map[string]string{
		filepath.Join(dir, "secrets", "key"): "of the node",
		filepath.Join(dir, "mounts.conf"):    filepath.Join(dir, "secrets") + ":/run/secrets\n/trivet/none:/none\n",
		filepath.Join(dir, "hook"):           "#!/bin/sh\n{ echo \"$1\"; cat; echo; } >> " + heard + "\n",
		filepath.Join(hooks, "a.json"):       hookFile(filepath.Join(dir, "hook"), "created", "createRuntime"),
		filepath.Join(hooks, "b.json"):       hookFile(filepath.Join(dir, "hook"), "stopped", "poststop"),
	})
	group := ownGroup(t, func(c *config.Config) {
		c.Runtime.HooksDir = []string{hooks}
		c.Runtime.DefaultMountsFile = filepath.Join(dir, "mounts.conf")
		c.Runtime.AdditionalDevices = []string{"/dev/null:/dev/nowhere:rw"}
		c.Runtime.AllowedDevices = []string{"/dev/zero"}
		c.Runtime.AbsentMountSources = []string{filepath.Join(dir, "absent")}
		handler := c.Runtime.Handlers["runc"]
		handler.AllowedAnnotations = []string{"devices.crio.io"}
		c.Runtime.Handlers["runc"] = handler
	})
	ctx := limit(t, 2*time.Minute)
	asking := func(c *runtimeapi.PodSandboxConfig) {
		c.Annotations = map[string]string{"io.kubernetes.cri-o.Devices": "/dev/zero:/dev/nil:r", "example.test/hooked": "yes"}
	}
	pod := need(group.RunPod(ctx, "extras", asking))(t)
	container := need(pod.Run(ctx, "main"))(t)
	for script, want := range map[string]string{
		"head -c 3 /dev/nil | od -An -tx1": "00 00 00", "echo x > /dev/nowhere && echo written": "written",
		"cat /run/secrets/key":                                 "of the node",
		"echo mine > /run/secrets/key && cat /run/secrets/key": "mine", "ls -d /none || echo missing": "missing",
	} {
		if got := need(container.Output(ctx, script))(t); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
	if text := need(os.ReadFile(filepath.Join(dir, "secrets", "key")))(t); string(text) != "of the node" {
		t.Errorf("the node's own file has become %q", text)
	}
	expectHeard(t, heard, "created\n", container.ID)
	ok(t, container.Stop(ctx, time.Second))
	ok(t, container.Remove(ctx))
	ok(t, harness.WaitFor(ctx, 10*time.Second, "the hook after the stop", func(context.Context) error {
		if text, err := os.ReadFile(heard); err != nil || !strings.Contains(string(text), "stopped\n") {
			return fmt.Errorf("heard is %q: %w", text, errors.Join(err, errors.New("no stop")))
		}
		return nil
	}))

	// A changed file holds for the next container, and for those it is for.
	ok(t, os.Remove(heard))
	writeAll(t, map[string]string{filepath.Join(hooks, "a.json"): hookFile(filepath.Join(dir, "hook"), "changed", "createRuntime")})
	next := need(pod.Run(ctx, "next"))(t)
	expectHeard(t, heard, "changed\n", next.ID)
	ok(t, os.Remove(heard))
	plain := need(group.RunPod(ctx, "unasking"))(t)
	other := need(plain.Run(ctx, "main"))(t)
	if got := need(other.Output(ctx, "ls -d /dev/nil /dev/nowhere; true"))(t); !strings.Contains(got, "/dev/nowhere") || strings.Contains(got, "/dev/nil\n") {
		t.Errorf("devices of a pod that asks for none: %q", got)
	}
	if _, err := os.Stat(heard); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("hooks of a pod that they are not for: %v", err)
	}

	// A program that fails stops the container's creation in the runtime.
	ok(t, os.WriteFile(filepath.Join(dir, "hook"), []byte("#!/bin/sh\necho hook says no >&2\nexit 7\n"), 0o755))
	if _, err := pod.Run(ctx, "failing"); err == nil || !strings.Contains(err.Error(), "hook") {
		t.Errorf("a failing hook: %v", err)
	}
	absent := func(c *runtimeapi.ContainerConfig) {
		c.Mounts = []*runtimeapi.Mount{{HostPath: filepath.Join(dir, "absent"), ContainerPath: "/x"}}
	}
	_, err := plain.Create(ctx, "absent", absent)
	says(t, err, "mounts[0].host_path", "absent_mount_sources_to_reject")
}

// hookFile is a hook for pods with the test's annotation.
func hookFile(path, arg, stage string) string {
	return fmt.Sprintf(`{"version": "1.0.0", "hook": {"path": %q, "args": ["hook", %q], "timeout": 10},
		"when": {"annotations": {"^example\\.test/hooked$": "^yes$"}}, "stages": [%q]}`, path, arg, stage)
}

// writeAll writes executable files with their directories, each in one instant.
func writeAll(t *testing.T, files map[string]string) {
	t.Helper()
	for path, text := range files {
		ok(t, os.MkdirAll(filepath.Dir(path), 0o755))
		ok(t, os.WriteFile(path+"~", []byte(text), 0o755))
		ok(t, os.Rename(path+"~", path))
	}
}

// expectHeard: the hook was called once, with the state of a container.
func expectHeard(t *testing.T, file, first, id string) {
	t.Helper()
	text := string(need(os.ReadFile(file))(t))
	if !strings.HasPrefix(text, first) || strings.Count(text, first) != 1 || !strings.Contains(text, `"id":"`+id+`"`) {
		t.Errorf("the hook heard %q, want %q and container %s", text, first, id)
	}
}
