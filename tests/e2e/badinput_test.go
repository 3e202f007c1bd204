//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
)

// TestBadRequests sends what a client may get wrong. Each must be refused by
// an error that names the thing, leave nothing behind, and harm nobody else.
func TestBadRequests(t *testing.T) {
	group := stage.Group
	pod := runPod(t, group.CRI, "host-of-bad-requests")
	// The first container of a pod makes the pod's cgroup, which is the client's.
	ok(t, need(pod.Run(limit(t, time.Minute), "first"))(t).Remove(limit(t, time.Minute)))
	before := need(group.Residue(limit(t, time.Minute)))(t)
	missing := filepath.Join(workDir, "no", "such", "directory")

	for name, test := range map[string]struct {
		do   func(ctx context.Context) error
		says []string
	}{
		"unknown runtime handler": {
			func(ctx context.Context) error { return run1(ctx, group.CRI, "bad-handler", "fantasy") }, []string{"fantasy"},
		},
		"invalid cgroup parent": {
			func(ctx context.Context) error {
				return run1(ctx, group.CRI, "bad-cgroup", "", func(c *runtimeapi.PodSandboxConfig) { c.Linux.CgroupParent = "../../outside" })
			}, []string{"../../outside"},
		},
		"unknown sysctl": {
			func(ctx context.Context) error {
				return run1(ctx, group.CRI, "bad-sysctl", "", func(c *runtimeapi.PodSandboxConfig) {
					c.Linux.Sysctls = map[string]string{"net.no.such_thing": "1"}
				})
			}, []string{"net.no.such_thing"},
		},
		"no metadata": {
			func(ctx context.Context) error {
				return run1(ctx, group.CRI, "bad-metadata", "", func(c *runtimeapi.PodSandboxConfig) { c.Metadata = nil })
			}, []string{"metadata"},
		},
		"missing log directory": {
			func(ctx context.Context) error {
				return createIn(ctx, group.CRI, "bad-logs", func(c *runtimeapi.PodSandboxConfig) { c.LogDirectory = missing })
			}, []string{missing},
		},
		"image that does not exist": {
			func(ctx context.Context) error {
				_, err := group.Pull(ctx, "registry.k8s.io/e2e-test-images/no-such-image:9")
				return err
			}, []string{"registry.k8s.io/e2e-test-images/no-such-image:9"},
		},
		"malformed image reference": {
			func(ctx context.Context) error { _, err := group.Pull(ctx, "UPPER//case::x"); return err }, []string{"UPPER//case::x"},
		},
		"image that was not pulled": {
			func(ctx context.Context) error {
				_, err := pod.Create(ctx, "unpulled", harness.Image("registry.k8s.io/never/pulled:1"))
				return err
			}, []string{"registry.k8s.io/never/pulled:1"},
		},
		"pod that does not exist": {
			func(ctx context.Context) error {
				_, err := group.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: strings.Repeat("ab", 32)})
				return err
			}, []string{strings.Repeat("ab", 32)},
		},
		"container id that is a path": {
			func(ctx context.Context) error {
				_, err := group.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: "../../etc/passwd"})
				return err
			}, []string{"../../etc/passwd"},
		},
		"mount whose source is missing": {
			func(ctx context.Context) error {
				c, err := pod.Create(ctx, "bad-mount", func(c *runtimeapi.ContainerConfig) {
					c.Mounts = []*runtimeapi.Mount{{HostPath: missing + "/\x7f", ContainerPath: "relative"}}
				})
				return errors.Join(err, remove(ctx, c))
			}, []string{"relative"},
		},
		"command that does not exist": {
			func(ctx context.Context) error {
				c, err := pod.Create(ctx, "bad-command", func(c *runtimeapi.ContainerConfig) { c.Command = []string{"/no/such/program"} })
				if err != nil {
					return err
				}
				return errors.Join(c.Start(ctx), remove(ctx, c))
			}, []string{"/no/such/program"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := limit(t, time.Minute)
			says(t, test.do(ctx), test.says...)
			ok(t, group.AwaitNoResidue(limit(t, 10*time.Second), before))
			ok(t, group.CheckReady(ctx))
		})
	}
	container := need(pod.Run(limit(t, time.Minute), "still-works"))(t)
	if out := need(container.Output(limit(t, time.Minute), "echo yes"))(t); out != "yes\n" {
		t.Errorf("after all that the pod says %q", out)
	}
}

// run1 runs a pod and, should that succeed, removes it.
func run1(ctx context.Context, cri *harness.CRI, name, handler string, edits ...harness.PodEdit) error {
	cfg, err := cri.PodConfig(name, edits...)
	if err != nil {
		return err
	}
	logs := cfg.GetLogDirectory()
	defer func() { _ = os.RemoveAll(logs) }()
	pod, err := cri.RunPodConfig(ctx, cfg, handler)
	if err != nil {
		return errors.Join(err, harness.RemoveCgroup(cfg.GetLinux().GetCgroupParent()))
	}
	return removePod(ctx, pod)
}

// removePod removes a pod, as a kubelet does: again, if the first time fails,
// which is an error all the same.
func removePod(ctx context.Context, pod *harness.Pod) error {
	err := pod.Remove(ctx)
	if err != nil {
		err = errors.Join(err, pod.Remove(ctx))
	}
	return err
}

// createIn runs a pod, creates and starts a container in it and removes both.
func createIn(ctx context.Context, cri *harness.CRI, name string, edits ...harness.PodEdit) error {
	pod, err := cri.RunPod(ctx, name, edits...)
	if err != nil {
		return err
	}
	container, err := pod.Create(ctx, "main")
	if err == nil {
		err = container.Start(ctx)
	}
	return errors.Join(err, removePod(ctx, pod))
}

func remove(ctx context.Context, c *harness.Container) error {
	if c == nil {
		return nil
	}
	return c.Remove(ctx)
}

// TestContainerdMissing starts a group whose containerd is not there: it
// must say so, naming the socket, and serve once it appears.
func TestContainerdMissing(t *testing.T) {
	socket := filepath.Join(workDir, "late-containerd.sock")
	group := need(harness.NewGroup(stage.Lab, ownOptions(t, func(c *config.Config) {
		c.Containerd.Socket = socket
		c.Containerd.ConnectTimeout = config.Duration(2 * time.Second)
		c.Launcher.BackoffMax = config.Duration(500 * time.Millisecond)
	})))(t)
	ok(t, group.Launch())
	defer func() { ok(t, group.Stop()) }()
	ok(t, harness.WaitFor(limit(t, time.Minute), 30*time.Second, "the log to name the socket", func(context.Context) error {
		text, err := os.ReadFile(group.Log())
		if err != nil {
			return err
		}
		if !strings.Contains(string(text), socket) {
			return errors.New("it does not")
		}
		return nil
	}))
	ok(t, os.Symlink(stage.Lab.ContainerdSocket, socket))
	ok(t, group.AwaitReady(limit(t, time.Minute)))
	need(group.Pull(limit(t, time.Minute), harness.Busybox))(t)
	ok(t, run1(limit(t, time.Minute), group.CRI, "late", ""))
}

// TestBadConfiguration runs the user's command with files that are wrong.
func TestBadConfiguration(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		says []string
	}{
		"no TOML":        {"version = 1\nroot = \n", []string{"bad.toml:2"}},
		"unknown key":    {"version = 1\n[runtime]\nsokket = \"/x\"\n", []string{"bad.toml:3", "runtime.sokket", "unknown key"}},
		"wrong type":     {"version = 1\n[streamer]\nstream_server_port = \"http\"\n", []string{"bad.toml:3", "stream_server_port"}},
		"out of range":   {"[streamer]\nstream_server_port = 70000\n", []string{"bad.toml:2", "streamer.stream_server_port", "70000"}},
		"not a duration": {"[cni]\nattach_timeout = \"soon\"\n", []string{"bad.toml:2", "cni.attach_timeout", "soon"}},
		"no such file":   {"", []string{"bad.toml"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad.toml")
			if test.text != "" {
				ok(t, os.WriteFile(path, []byte(test.text), 0o600))
			}
			for _, command := range [][]string{{"run", "-c", path}, {"config", "check", path}} {
				out, err := exec.CommandContext(limit(t, time.Minute), stage.Group.Trivet(), command...).CombinedOutput()
				if err == nil {
					t.Errorf("trivet %v succeeded", command)
				}
				for _, part := range test.says {
					if !strings.Contains(string(out), part) {
						t.Errorf("trivet %v does not say %q: %s", command, part, out)
					}
				}
			}
		})
	}
}

// TestBrokenConflist breaks the CNI configuration under a running group: the
// last good one stays in use and the status says what is wrong with the new.
func TestBrokenConflist(t *testing.T) {
	conf := t.TempDir()
	files := need(filepath.Glob(filepath.Join(stage.Lab.CNIConfDir, "*.conflist")))(t)
	if len(files) == 0 {
		t.Fatalf("no conflist in %s", stage.Lab.CNIConfDir)
	}
	good := need(os.ReadFile(files[0]))(t)
	file := filepath.Join(conf, "10-net.conflist")
	ok(t, os.WriteFile(file, []byte(`{"cniVersion": "1.0.0", "name": "broken", "plugins": [`), 0o600))

	// A group whose only conflist is broken comes up and is not ready.
	group := need(harness.NewGroup(stage.Lab, ownOptions(t, func(c *config.Config) { c.CNI.ConfDir = conf })))(t)
	ok(t, group.Launch())
	defer func() { ok(t, group.Stop()) }()
	ok(t, harness.WaitFor(limit(t, time.Minute), 30*time.Second, "the status to name the file", func(ctx context.Context) error {
		err := group.CheckReady(ctx)
		if err == nil || !strings.Contains(err.Error(), "NetworkReady") || !strings.Contains(err.Error(), "10-net.conflist") {
			return errors.Join(errors.New("it does not"), err)
		}
		return nil
	}))
	need(group.Pull(limit(t, time.Minute), harness.Busybox))(t)
	says(t, run1(limit(t, time.Minute), group.CRI, "no-network", ""), "10-net.conflist")

	// Repaired, it works without a restart; broken again, it goes on working.
	ok(t, os.WriteFile(file, good, 0o600))
	ok(t, group.AwaitReady(limit(t, time.Minute)))
	ok(t, run1(limit(t, time.Minute), group.CRI, "good-network", ""))
	ok(t, os.WriteFile(file, []byte("{"), 0o600))
	ok(t, run1(limit(t, time.Minute), group.CRI, "last-good-network", ""))
	ok(t, os.RemoveAll(conf))
	ok(t, group.CheckReady(limit(t, time.Minute)))
	if generation := need(group.Status(limit(t, time.Minute)))(t).GetGeneration(); generation != 1 {
		t.Errorf("generation is %d: something restarted", generation)
	}
}
