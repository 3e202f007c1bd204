//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
)

// adjuster is a plugin that adjusts every container, but refuses some.
type adjuster struct {
	mu     sync.Mutex
	synced []string // names of the containers that it was told of at its registration
	begun  int      // pods and containers that it was asked about
}

func (a *adjuster) Synchronize(_ context.Context, _ []*api.PodSandbox, containers []*api.Container) ([]*api.ContainerUpdate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.synced = []string{}
	for _, c := range containers {
		a.synced = append(a.synced, c.GetName())
	}
	return nil, nil
}

func (a *adjuster) told() ([]string, int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.synced, a.begun
}

func (a *adjuster) RunPodSandbox(_ context.Context, p *api.PodSandbox) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.begun++
	if strings.Contains(p.GetName(), "unwanted") {
		return errors.New("unwanted pod")
	}
	return nil
}

func (a *adjuster) CreateContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.begun++
	if c.GetName() == "unwanted" {
		return nil, nil, errors.New("unwanted container")
	}
	adjustment := &api.ContainerAdjustment{}
	adjustment.AddEnv("ADJUSTED", "by a plugin")
	adjustment.AddAnnotation("trivet.test/adjusted", "yes")
	adjustment.AddMount(&api.Mount{Destination: "/adjusted", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=64k"}})
	return adjustment, nil, nil
}

// register connects a plugin to a group, once that listens.
func register(t *testing.T, group *harness.Group, a *adjuster) stub.Stub {
	t.Helper()
	var plugin stub.Stub
	ok(t, harness.Wait(limit(t, time.Minute), "registration of a plugin", func(context.Context) (err error) {
		if plugin, err = stub.New(a, stub.WithPluginName("adjuster"), stub.WithPluginIdx("10"),
			stub.WithSocketPath(group.Config.NRISocket()), stub.WithOnClose(func() {})); err != nil {
			return err
		}
		return plugin.Start(context.Background())
	}))
	t.Cleanup(plugin.Stop)
	return plugin
}

// synchronized waits until the plugin was told what exists.
func synchronized(t *testing.T, a *adjuster) []string {
	t.Helper()
	var names []string
	ok(t, harness.Wait(limit(t, time.Minute), "synchronization", func(context.Context) error {
		if names, _ = a.told(); names == nil {
			return errors.New("the plugin has been told nothing")
		}
		return nil
	}))
	return names
}

// TestNRI has a real plugin, which is required, adjust and refuse; after it is
// gone nothing is created, and after runtime is killed it is told what exists.
func TestNRI(t *testing.T) {
	t.Parallel()
	ctx := limit(t, 2*time.Minute)
	group := ownGroup(t, func(c *config.Config) { c.NRI.RequiredPlugins = []string{"adjuster"} })
	need(group.Pull(ctx, harness.Busybox))(t)
	if _, err := group.RunPod(ctx, "early"); err == nil || !strings.Contains(err.Error(), "adjuster") {
		t.Errorf("without the required plugin: %v", err)
	}
	first := &adjuster{}
	plugin := register(t, group, first)
	synchronized(t, first)
	ok(t, harness.Wait(ctx, "the required plugin", group.CheckReady))
	pod := runPod(t, group.CRI, "adjusted")
	app := need(pod.Run(ctx, "app"))(t)
	out := need(app.Output(ctx, "echo $ADJUSTED; grep ' /adjusted tmpfs' /proc/mounts"))(t)
	if !strings.Contains(out, "by a plugin") || !strings.Contains(out, "size=64k") {
		t.Errorf("inside there is %q", out)
	}
	info := need(group.Crictl(ctx, "inspect", app.ID))(t)
	if !strings.Contains(info, "trivet.test/adjusted") {
		t.Error("the OCI spec lacks the annotation")
	}
	if _, err := pod.Create(ctx, "unwanted"); err == nil || !strings.Contains(err.Error(), "unwanted container") {
		t.Errorf("an unwanted container: %v", err)
	}
	if _, err := group.RunPod(ctx, "unwanted"); err == nil || !strings.Contains(err.Error(), "unwanted pod") {
		t.Errorf("an unwanted pod: %v", err)
	}
	for command, want := range map[string]int{"ps": 1, "pods": 1} {
		if ids := strings.Fields(need(group.Crictl(ctx, command, "-q"))(t)); len(ids) != want {
			t.Errorf("crictl %s shows %q", command, ids)
		}
	}
	plugin.Stop()
	ok(t, harness.Wait(ctx, "refusal", func(ctx context.Context) error {
		c, err := pod.Create(ctx, "late")
		if err == nil {
			return errors.Join(errors.New("a container was created"), c.Remove(ctx))
		}
		return nil
	}))
	generation := need(group.Kill(ctx, "runtime"))(t)
	ok(t, group.AwaitGeneration(ctx, generation))
	second := &adjuster{}
	register(t, group, second)
	if names := synchronized(t, second); !slices.Equal(names, []string{"app"}) {
		t.Errorf("after a restart the plugin is told of %q", names)
	}
	if _, begun := second.told(); begun != 0 {
		t.Errorf("after a restart the plugin is asked about %d things", begun)
	}
	ok(t, harness.Wait(ctx, "creation", func(ctx context.Context) error {
		_, err := pod.Create(ctx, "late")
		return err
	}))
}

// lasting is this test's program as a plugin of plugin_path. Its configuration is
// the file that it writes its process id to.
type lasting struct{}

func (lasting) Configure(_ context.Context, report, _, _ string) (stub.EventMask, error) {
	return 0, os.WriteFile(report, []byte(strconv.Itoa(os.Getpid())), 0o600)
}

func (lasting) RunPodSandbox(context.Context, *api.PodSandbox) error { return nil }

// lastingPlugin ends neither when it is asked to nor with its connection.
func lastingPlugin() {
	signal.Ignore(syscall.SIGTERM)
	plugin, err := stub.New(lasting{}, stub.WithOnClose(func() {}))
	if err == nil {
		err = plugin.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, "the connection has ended:", err)
	select {}
}

// TestNRIProgram has runtime start a required plugin of plugin_path, and another
// process of it once runtime or the plugin was killed; none is left at the end.
func TestNRIProgram(t *testing.T) {
	t.Parallel()
	ctx := limit(t, 2*time.Minute)
	dir := t.TempDir()
	report := filepath.Join(dir, "pid")
	self := need(os.Executable())(t)
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "plugins"), 0o700),
		os.Symlink(self, filepath.Join(dir, "plugins", "10-lasting")),
		os.WriteFile(filepath.Join(dir, "lasting.conf"), []byte(report), 0o600),
	} {
		ok(t, err)
	}
	third := 0
	t.Cleanup(func() { // after the group's own
		if third != 0 && lives(third) {
			t.Errorf("process %d has outlived the group", third)
		}
	})
	group := ownGroup(t, func(c *config.Config) {
		c.NRI.RequiredPlugins = []string{"lasting"}
		c.NRI.PluginPath, c.NRI.PluginConfigPath = filepath.Join(dir, "plugins"), dir
	})
	runs := func() int {
		t.Helper()
		ok(t, harness.Wait(ctx, "pod", func(ctx context.Context) error {
			p, err := group.RunPod(ctx, "pod")
			if err == nil {
				err = p.Remove(ctx)
			}
			return err
		}))
		return need(strconv.Atoi(string(need(os.ReadFile(report))(t))))(t)
	}
	gone := func(pid int) {
		t.Helper()
		ok(t, harness.Wait(ctx, "end of the plugin", func(context.Context) error {
			if lives(pid) {
				return fmt.Errorf("process %d lives", pid)
			}
			return nil
		}))
	}
	first := runs()
	ok(t, syscall.Kill(first, syscall.SIGKILL))
	gone(first)
	second := runs()
	generation := need(group.Kill(ctx, "runtime"))(t)
	ok(t, group.AwaitGeneration(ctx, generation))
	gone(second)
	third = runs()
	if first == second || second == third {
		t.Errorf("the processes are %d, %d, %d", first, second, third)
	}
}

// lives tells whether a process has a program: one that nobody has waited for
// has not.
func lives(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && len(line) > 0
}
