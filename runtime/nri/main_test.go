package nri_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
	"go.uber.org/goleak"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/nri"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
	"github.com/trivet-cri/trivet/runtime/spec"
	"github.com/trivet-cri/trivet/runtime/tuning"
)

func TestMain(m *testing.M) {
	if os.Getenv(api.PluginNameEnvVar) != "" {
		beGuest()
	}
	goleak.VerifyTestMain(m)
}

// requestTimeout is one for all tests: the library has one for all.
const requestTimeout = time.Second

// node is a world with a process that plugins take part in.
type node struct {
	*containertest.World
	socket     string
	cfg        config.NRI
	runtime    config.Runtime
	plugins    *nri.Plugins
	pods       *pod.Service
	containers *container.Service
	end        func()
}

func newNode(t *testing.T, edits ...func(*config.NRI)) *node {
	t.Helper()
	w, err := containertest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "nri") //nolint:usetesting // with the test's name a socket's path is too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	n := &node{World: w, socket: filepath.Join(dir, "nri.sock"), cfg: config.Default().NRI, runtime: podtest.Config()}
	n.cfg.PluginPath, n.cfg.PluginConfigPath = filepath.Join(dir, "plugins"), filepath.Join(dir, "conf.d")
	n.cfg.PluginRequestTimeout = config.Duration(requestTimeout)
	for _, edit := range edits {
		edit(&n.cfg)
	}
	n.begin(t)
	t.Cleanup(func() { n.end() })
	return n
}

// begin starts a process.
func (n *node) begin(t *testing.T) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	n.plugins = nri.New(nri.Deps{Config: n.cfg, Socket: n.socket, Runtime: n.runtime, Host: spec.Host{OOMScoreAdj: -7}, Specs: n.Containers, CDI: cdi{}, Classes: named{}, Log: log})
	podDeps := n.World.World.Deps()
	podDeps.Hooks = n.plugins
	n.pods = pod.New(podDeps)
	deps := n.Deps(n.pods)
	deps.Hooks = n.plugins
	var err error
	if deps.Tuning, err = tuning.New(n.Tuning); err != nil {
		t.Fatal(err)
	}
	if n.containers, err = container.New(deps); err != nil {
		t.Fatal(err)
	}
	if err := n.pods.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.containers.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = n.containers.Watch(ctx) })
	work.Go(func() {
		if err := n.plugins.Run(ctx, n.pods, n.containers); err != nil {
			t.Errorf("plugins have ended: %v", err)
		}
	})
	n.end = sync.OnceFunc(func() {
		n.containers.Close()
		n.pods.Close()
		cancel()
		work.Wait()
	})
}

// run runs a pod.
func (n *node) run(t *testing.T, name string) *pod.Pod {
	t.Helper()
	p, err := n.pods.Run(t.Context(), podtest.Sandbox(name), "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// create makes a container.
func (n *node) create(t *testing.T, p *pod.Pod, name string) *container.Container {
	t.Helper()
	c, err := n.containers.Create(t.Context(), p, containertest.Config(name))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// start makes a container and starts it.
func (n *node) start(t *testing.T, p *pod.Pod, name string) *container.Container {
	t.Helper()
	c := n.create(t, p, name)
	if err := n.containers.Start(t.Context(), c, p); err != nil {
		t.Fatal(err)
	}
	return c
}

// remove stops and removes a pod with all that is in it.
func (n *node) remove(t *testing.T, p *pod.Pod) {
	t.Helper()
	err := n.pods.Remove(t.Context(), p,
		func(ctx context.Context) error { return n.containers.StopAll(ctx, p.ID) },
		func(ctx context.Context) error { return n.containers.RemoveAll(ctx, p.ID) })
	if err != nil {
		t.Fatal(err)
	}
}

// registered waits until these plugins are.
func (n *node) registered(t *testing.T, names ...string) {
	t.Helper()
	await(t, fmt.Sprintf("plugins %q", names), func() bool { return slices.Equal(n.plugins.Registered(), names) })
}

// await waits for a condition.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// plugin is a real one. What it is asked goes to its functions, if they are
// there.
type plugin struct {
	stub    stub.Stub
	options []stub.Option
	mask    api.EventMask

	mu         sync.Mutex
	heard      []string // hook and name
	pods       []*api.PodSandbox
	containers []*api.Container // synchronized
	hooks      map[string]func(ctx context.Context) error
	adjust     func(c *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate)
	update     func(c *api.Container, r *api.LinuxResources) []*api.ContainerUpdate
	validate   func(r *api.ValidateContainerAdjustmentRequest) error
}

// connect has a plugin register. edit comes before.
func (n *node) connect(t *testing.T, idx, name string, edits ...func(*plugin)) *plugin {
	t.Helper()
	p := &plugin{hooks: make(map[string]func(context.Context) error)}
	p.mask = api.ValidEvents &^ (1 << (api.Event_VALIDATE_CONTAINER_ADJUSTMENT - 1))
	for _, edit := range edits {
		edit(p)
	}
	var err error
	p.stub, err = stub.New(p, append(p.options, stub.WithPluginName(name), stub.WithPluginIdx(idx), stub.WithSocketPath(n.socket),
		stub.WithOnClose(func() {}))...)
	if err != nil {
		t.Fatal(err)
	}
	await(t, "connection of "+name, func() bool { return p.stub.Start(context.Background()) == nil })
	t.Cleanup(p.stub.Stop)
	await(t, "registration of "+name, func() bool { return slices.Contains(n.plugins.Registered(), idx+"-"+name) })
	return p
}

// hear notes a hook and does what the test wants in it.
func (p *plugin) hear(ctx context.Context, hook, name string) error {
	p.mu.Lock()
	p.heard = append(p.heard, hook+" "+name)
	do := p.hooks[hook]
	p.mu.Unlock()
	if do != nil {
		return do(ctx)
	}
	return nil
}

// on has do called in each hook of that name.
func (p *plugin) on(hook string, do func(ctx context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hooks[hook] = do
}

// story is what was heard so far.
func (p *plugin) story() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.heard)
}

func (p *plugin) Configure(context.Context, string, string, string) (stub.EventMask, error) {
	return p.mask, nil
}

func (p *plugin) Synchronize(_ context.Context, pods []*api.PodSandbox, containers []*api.Container) ([]*api.ContainerUpdate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pods, p.containers = pods, containers
	return nil, nil
}

func (p *plugin) RunPodSandbox(ctx context.Context, pod *api.PodSandbox) error {
	return p.hear(ctx, "run", pod.GetName())
}

func (p *plugin) UpdatePodSandbox(ctx context.Context, pod *api.PodSandbox, _, _ *api.LinuxResources) error {
	return p.hear(ctx, "update pod", pod.GetName())
}

func (p *plugin) PostUpdatePodSandbox(ctx context.Context, pod *api.PodSandbox) error {
	return p.hear(ctx, "pod updated", pod.GetName())
}

func (p *plugin) StopPodSandbox(ctx context.Context, pod *api.PodSandbox) error {
	return p.hear(ctx, "stop pod", pod.GetName())
}

func (p *plugin) RemovePodSandbox(ctx context.Context, pod *api.PodSandbox) error {
	return p.hear(ctx, "remove pod", pod.GetName())
}

func (p *plugin) CreateContainer(ctx context.Context, _ *api.PodSandbox, c *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	err := p.hear(ctx, "create", c.GetName())
	if err != nil || p.adjust == nil {
		return nil, nil, err
	}
	adjustment, updates := p.adjust(c)
	return adjustment, updates, nil
}

func (p *plugin) PostCreateContainer(ctx context.Context, _ *api.PodSandbox, c *api.Container) error {
	return p.hear(ctx, "created", c.GetName())
}

func (p *plugin) StartContainer(ctx context.Context, _ *api.PodSandbox, c *api.Container) error {
	return p.hear(ctx, "start", c.GetName())
}

func (p *plugin) PostStartContainer(ctx context.Context, _ *api.PodSandbox, c *api.Container) error {
	return p.hear(ctx, "started", c.GetName())
}

func (p *plugin) UpdateContainer(ctx context.Context, _ *api.PodSandbox, c *api.Container, r *api.LinuxResources) ([]*api.ContainerUpdate, error) {
	err := p.hear(ctx, "update", c.GetName())
	if err != nil || p.update == nil {
		return nil, err
	}
	return p.update(c, r), nil
}

func (p *plugin) PostUpdateContainer(ctx context.Context, _ *api.PodSandbox, c *api.Container) error {
	return p.hear(ctx, "updated", c.GetName())
}

func (p *plugin) StopContainer(ctx context.Context, _ *api.PodSandbox, c *api.Container) ([]*api.ContainerUpdate, error) {
	return nil, p.hear(ctx, "stop", c.GetName())
}

func (p *plugin) RemoveContainer(ctx context.Context, _ *api.PodSandbox, c *api.Container) error {
	return p.hear(ctx, "remove", c.GetName())
}

func (p *plugin) ValidateContainerAdjustment(ctx context.Context, r *api.ValidateContainerAdjustmentRequest) error {
	if err := p.hear(ctx, "validate", r.GetContainer().GetName()); err != nil || p.validate == nil {
		return err
	}
	return p.validate(r)
}
