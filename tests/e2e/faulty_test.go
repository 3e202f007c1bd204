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

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/faulty"
)

// scene is what an operation works on.
type scene struct {
	cri       *harness.CRI
	pod       *harness.Pod
	container *harness.Container
	starts    string // a file to which each start of the container adds a line
	config    *runtimeapi.PodSandboxConfig
	create    *runtimeapi.ContainerConfig
}

// operation is one call of a client's, and what must be there before it.
type operation struct {
	name    string
	prepare []func(context.Context, *scene) error
	call    func(context.Context, *scene) error
}

var operations = []operation{
	{"RunPodSandbox", nil, runScene},
	{"CreateContainer", []func(context.Context, *scene) error{runScene}, createScene},
	{"StartContainer", []func(context.Context, *scene) error{runScene, createScene}, startScene},
	{"StopContainer", []func(context.Context, *scene) error{runScene, createScene, startScene}, func(ctx context.Context, s *scene) error {
		return s.container.Stop(ctx, 5*time.Second)
	}},
	{"RemoveContainer", []func(context.Context, *scene) error{runScene, createScene, startScene}, func(ctx context.Context, s *scene) error {
		return s.container.Remove(ctx)
	}},
	{"StopPodSandbox", []func(context.Context, *scene) error{runScene, createScene, startScene}, func(ctx context.Context, s *scene) error {
		return s.pod.Stop(ctx)
	}},
	{"RemovePodSandbox", []func(context.Context, *scene) error{runScene, createScene, startScene}, func(ctx context.Context, s *scene) error {
		_, err := s.cri.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: s.pod.ID})
		return err
	}},
}

func runScene(ctx context.Context, s *scene) (err error) {
	s.pod, err = s.cri.RunPodConfig(ctx, s.config, "")
	return err
}

func createScene(ctx context.Context, s *scene) (err error) {
	s.container, err = s.pod.CreateConfig(ctx, s.create)
	return err
}

// startScene tolerates that an earlier try has started the container, or has
// failed to, for good.
func startScene(ctx context.Context, s *scene) error {
	err := s.container.Start(ctx)
	if status.Code(err) == codes.FailedPrecondition {
		return nil
	}
	return err
}

func newScene(cri *harness.CRI, dir string) (*scene, error) {
	cfg, err := cri.PodConfig("faulty")
	if err != nil {
		return nil, err
	}
	s := &scene{cri: cri, config: cfg, starts: filepath.Join(dir, cfg.GetMetadata().GetUid())}
	if err := os.WriteFile(s.starts, nil, 0o600); err != nil {
		return nil, err
	}
	s.create = &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: "main"},
		Image:    &runtimeapi.ImageSpec{Image: harness.Busybox},
		LogPath:  "main/0.log",
		Mounts:   []*runtimeapi.Mount{{HostPath: s.starts, ContainerPath: "/starts"}},
		Linux:    &runtimeapi.LinuxContainerConfig{},
	}
	harness.Shell("echo started >> /starts; trap 'exit 0' TERM; while :; do sleep 1 & wait; done")(s.create)
	return s, nil
}

// startedOnce tells whether the container has run as often as its state says,
// and never twice.
func (s *scene) startedOnce(ctx context.Context) error {
	if s.container == nil {
		return nil
	}
	state, err := s.container.Status(ctx)
	if status.Code(errors.Unwrap(err)) == codes.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	return harness.WaitFor(ctx, 5*time.Second, "the container to have started once", func(context.Context) error {
		text, err := os.ReadFile(s.starts)
		if err != nil {
			return err
		}
		n := strings.Count(string(text), "\n")
		if n > 1 || n == 0 && state.GetState() == runtimeapi.ContainerState_CONTAINER_RUNNING {
			return fmt.Errorf("in state %s it has started %d times", state.GetState(), n)
		}
		return nil
	})
}

// TestFaultAtEveryStep fails, one after the other, every call that an
// operation makes to containerd, netsync and streamer: before it is carried out,
// and after. The operation succeeds all the same or can be made again, nothing
// starts twice, and whatever is there at the end, Stop and Remove clear.
func TestFaultAtEveryStep(t *testing.T) {
	proxy, group := behindProxy(t)
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) { eachStep(t, proxy, group, op, nil) })
	}
}

// TestKillAtEveryStep is the same with a SIGKILL of the runtime.
func TestKillAtEveryStep(t *testing.T) {
	proxy, group := behindProxy(t)
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			eachStep(t, proxy, group, op, func(ctx context.Context) (int64, error) { return group.Kill(ctx, "runtime") })
		})
	}
}

// eachStep arms one call after the other until the operation makes fewer.
func eachStep(t *testing.T, proxy *faulty.Proxy, group *harness.Group, op operation, kill func(context.Context) (int64, error)) {
	t.Helper()
	ctx := limit(t, 5*time.Minute)
	before := need(group.Residue(ctx))(t)
	for _, mode := range []faulty.Mode{faulty.Before, faulty.After} {
		failures := 0
		for n := 0; ; n++ {
			s := need(newScene(group.CRI, group.Dir()))(t)
			for _, step := range op.prepare {
				ok(t, step(ctx, s))
			}
			generation, killed := int64(-1), error(nil)
			var act func()
			if kill != nil {
				act = func() { generation, killed = kill(ctx) }
			}
			proxy.Arm(n, mode, act)
			err := op.call(ctx, s)
			calls, hit := proxy.Disarm()
			what := "without a fault"
			if hit {
				what = fmt.Sprintf("fault %s call %d, %s", mode, n, calls[n])
			}
			ok(t, killed)
			if generation >= 0 {
				ok(t, group.AwaitGeneration(ctx, generation))
			}
			if err != nil {
				failures++
			}
			s.finish(ctx, t, op, err, what)
			if err := harness.WaitFor(ctx, 20*time.Second, what, func(ctx context.Context) error { return group.AwaitNoResidue(ctx, before) }); err != nil {
				t.Errorf("%s (the operation's error: %v): %v", what, err, err)
			}
			if !hit {
				ok(t, err)
				t.Logf("%s: %d calls failed one by one, %d times the operation with them", mode, n, failures)
				break
			}
		}
	}
}

// finish makes the operation again if it has failed, and then clears up, once.
func (s *scene) finish(ctx context.Context, t *testing.T, op operation, err error, what string) {
	t.Helper()
	for try := 0; err != nil; try++ {
		if try == 3 {
			t.Fatalf("%s: three more tries failed, the last with %v", what, err)
		}
		err = op.call(ctx, s)
	}
	if err := s.startedOnce(ctx); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if err := s.pod.Remove(ctx); err != nil {
		t.Fatalf("%s: stop and remove: %v", what, err)
	}
	ok(t, os.Remove(s.starts))
}

// behindProxy starts a group whose runtime reaches containerd, netsync and
// streamer through a proxy.
func behindProxy(t *testing.T) (*faulty.Proxy, *harness.Group) {
	t.Helper()
	options := ownOptions(t)
	options.BinDir = filepath.Join(workDir, "bin-"+harness.Unique()[:8])
	group := need(harness.NewGroup(stage.Lab, options))(t)
	// Only the runtime has the configuration with the proxy's sockets.
	direct := *group.Config
	proxied := direct
	proxied.Containerd.Socket = filepath.Join(options.Dir, "c.sock")
	proxied.CNI.Socket = filepath.Join(options.Dir, "n.sock")
	proxied.Streamer.Socket = filepath.Join(options.Dir, "s.sock")
	proxy := need(faulty.Start(map[string]string{
		proxied.Containerd.Socket: direct.Containerd.Socket,
		proxied.CNI.Socket:        direct.NetSyncSocket(),
		proxied.Streamer.Socket:   direct.StreamerSocket(),
	}))(t)
	t.Cleanup(proxy.Stop)
	path := filepath.Join(options.Dir, "proxied.toml")
	file := need(os.Create(path))(t)
	ok(t, errors.Join(proxied.Write(file), file.Close()))
	ok(t, os.Mkdir(options.BinDir, 0o755))
	for _, name := range []string{"trivet", "trivet-streamer", "trivet-netsync"} {
		ok(t, os.Symlink(filepath.Join(binaries, name), filepath.Join(options.BinDir, name)))
	}
	script := fmt.Sprintf("#!/bin/sh\nexec %s -c %s\n", filepath.Join(binaries, "trivet-runtime"), path)
	ok(t, os.WriteFile(filepath.Join(options.BinDir, "trivet-runtime"), []byte(script), 0o755))
	cleanUp(t, group)
	ok(t, group.Start(limit(t, time.Minute)))
	need(group.Pull(limit(t, time.Minute), harness.Busybox))(t)
	return proxy, group
}
