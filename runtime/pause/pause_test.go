package pause_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/pause"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
	"github.com/trivet-cri/trivet/runtime/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is containerd, as pause containers see it.
type world struct {
	*containertest.World
	*containertest.Containers
	*containertest.Tasks

	mu       sync.Mutex
	imported []string
	unpacked map[string]bool // by snapshotter
	pulled   []string
	known    bool // the image index has the configured image
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w, err := containertest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &world{World: w, Containers: w.Containers, Tasks: w.Tasks, unpacked: make(map[string]bool)}
}

func (w *world) ImportImage(ctx context.Context, name engine.ImageName, _, _ engine.Blob, _ ...engine.Blob) error {
	return w.Do(ctx, "Image.Import", func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.imported = append(w.imported, name.Name+" "+name.Labels["io.cri-containerd.pinned"])
		return nil
	})
}

func (w *world) UnpackImage(ctx context.Context, _ engine.ImageName, snapshotter string) error {
	return w.Do(ctx, "Image.Unpack", func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.unpacked[snapshotter] = true
		return nil
	})
}

// PrepareRootfs needs the image unpacked, as a snapshotter does.
func (w *world) PrepareRootfs(ctx context.Context, snapshotter, key, chainID string, labels map[string]string) ([]mount.Mount, error) {
	w.mu.Lock()
	unpacked := w.unpacked[snapshotter]
	w.mu.Unlock()
	if !unpacked {
		return nil, fmt.Errorf("parent snapshot: %w", errdefs.ErrNotFound)
	}
	return w.Snapshots.PrepareRootfs(ctx, snapshotter, key, chainID, labels)
}

func (w *world) RemoveRootfs(ctx context.Context, snapshotter, key string) error {
	return w.Snapshots.RemoveRootfs(ctx, snapshotter, key)
}

func (w *world) Resolve(ctx context.Context, _ string) (image.Image, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.known {
		return image.Image{}, errdefs.ErrNotFound
	}
	return w.Images.Resolve(ctx, containertest.Image)
}

func (w *world) Pull(ctx context.Context, ref string, _ *runtimeapi.AuthConfig, _ *runtimeapi.PodSandboxConfig, snapshotter string) (image.Image, error) {
	var got image.Image
	err := w.Do(ctx, "Image.Pull", func() (err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.pulled = append(w.pulled, ref)
		w.unpacked[snapshotter] = true
		got, err = w.Images.Resolve(ctx, containertest.Image)
		return err
	})
	return got, err
}

// newService returns pause containers and the pods that they are of.
func newService(t *testing.T, w *world, edits ...func(*pause.Deps)) (*pause.Service, *pod.Service) {
	t.Helper()
	deps := pause.Deps{
		Config: podtest.Config(), Image: config.Default().Image, Containerd: w, Images: w,
		Host: spec.Host{Capabilities: []string{"CAP_CHOWN"}}, KillShim: w.Tasks.KillShim, PinShim: w.Tasks.PinShim,
	}
	for _, edit := range edits {
		edit(&deps)
	}
	s := pause.New(deps)
	podDeps := w.World.World.Deps()
	podDeps.Pauses = s
	pods := pod.New(podDeps)
	t.Cleanup(pods.Close)
	return s, pods
}

func TestStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, pods := newService(t, w)
	p, err := pods.Run(t.Context(), podtest.SharedPID("web"), "")
	if err != nil {
		t.Fatal(err)
	}
	task, ok := w.Find(p.ID)
	if !ok || task.Created || p.State().PausePID != task.PID || task.IO != (engine.TaskIO{}) {
		t.Errorf("task %+v, pod %+v", task, p.State())
	}
	if pinned := w.Pinned(); !slices.Equal(pinned, []string{p.ID}) {
		t.Errorf("shims are pinned of %q", pinned)
	}
	one, _ := w.Containers.Get(p.ID)
	if one.Record != nil || one.Labels["io.trivet.pod"] != p.ID || one.Snapshotter != "overlayfs" || one.SnapshotKey != p.ID {
		t.Errorf("record %+v", one.ContainerRecord)
	}
	paths := make(map[specs.LinuxNamespaceType]string)
	for _, ns := range one.Spec.Linux.Namespaces {
		paths[ns.Type] = ns.Path
	}
	if pid, has := paths[specs.PIDNamespace]; !has || pid != "" || paths[specs.NetworkNamespace] != p.Namespaces.Network {
		t.Errorf("namespaces %v", paths)
	}
	if !slices.Equal(w.imported, []string{config.BuiltInPauseImage + " pinned"}) || len(w.pulled) > 0 {
		t.Errorf("imported %q, pulled %q", w.imported, w.pulled)
	}
	if pid, alive, err := s.Look(t.Context(), p.ID); pid != task.PID || !alive || err != nil {
		t.Errorf("its process is %d, %v", pid, err)
	}
	w.Tasks.Exit(p.ID, 1)
	if pid, alive, err := s.Look(t.Context(), p.ID); pid != 0 || alive || err != nil {
		t.Errorf("ended: %d, %v", pid, err)
	}
	for range 2 {
		if err := s.Remove(t.Context(), p.ID); err != nil {
			t.Fatal(err)
		}
	}
	if pid, alive, err := s.Look(t.Context(), p.ID); pid != 0 || alive || err != nil {
		t.Errorf("removed: %d, %v", pid, err)
	}
	// One that a crash has kept from its start holds no namespace yet.
	if _, err := w.CreateTask(t.Context(), "0badcafe", nil, engine.TaskIO{}, ""); err != nil {
		t.Fatal(err)
	}
	if pid, alive, err := s.Look(t.Context(), "0badcafe"); pid != 0 || alive || err != nil {
		t.Errorf("created: %d, %v", pid, err)
	}
	w.Fail("Tasks.Get", podtest.Before, 1)
	if _, _, err := s.Look(t.Context(), p.ID); !errors.Is(err, podtest.ErrInjected) {
		t.Errorf("containerd is away: %v", err)
	}
}

// TestUser: the pod's user and group win over the image's, and a group alone
// leaves the image's user.
func TestUser(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		user, group *runtimeapi.Int64Value
		want        [2]uint32
	}{
		"both":  {&runtimeapi.Int64Value{Value: 1000}, &runtimeapi.Int64Value{Value: 2000}, [2]uint32{1000, 2000}},
		"user":  {&runtimeapi.Int64Value{Value: 1000}, nil, [2]uint32{1000, 0}},
		"group": {nil, &runtimeapi.Int64Value{Value: 2000}, [2]uint32{65535, 2000}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			_, pods := newService(t, w)
			cfg := podtest.SharedPID("web")
			cfg.Linux.SecurityContext.RunAsUser, cfg.Linux.SecurityContext.RunAsGroup = test.user, test.group
			p, err := pods.Run(t.Context(), cfg, "")
			if err != nil {
				t.Fatal(err)
			}
			one, _ := w.Containers.Get(p.ID)
			if got := one.Spec.Process.User; [2]uint32{got.UID, got.GID} != test.want {
				t.Errorf("runs as %+v, want %v", got, test.want)
			}
		})
	}
}

// TestUserNamespace: the root's owners are shifted into the pod's user namespace.
func TestUserNamespace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, pods := newService(t, w)
	cfg := podtest.SharedPID("web")
	mapping := []*runtimeapi.IDMapping{{HostId: 65536, ContainerId: 0, Length: 65536}}
	cfg.Linux.SecurityContext.NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{
		Mode: runtimeapi.NamespaceMode_POD, Uids: mapping, Gids: mapping,
	}
	if _, err := pods.Run(t.Context(), cfg, ""); err != nil {
		t.Fatal(err)
	}
	if labels := w.Snapshots.Labels(); labels["containerd.io/snapshot/uidmapping"] != "0:65536:65536" {
		t.Errorf("labels %v", labels)
	}
}

// TestStartFails: a pod whose pause container fails, at whatever step, leaves
// nothing; nor does its removal that fails once.
func TestStartFails(t *testing.T) {
	t.Parallel()
	reference := newWorld(t)
	_, pods := newService(t, reference)
	if _, err := pods.Run(t.Context(), podtest.SharedPID("web"), ""); err != nil {
		t.Fatal(err)
	}
	steps := reference.Steps()
	for _, want := range []string{"Image.Import", "Image.Unpack", "Containers.Create", "Snapshots.Prepare", "Tasks.Create", "Tasks.Start"} {
		if !slices.Contains(steps, want) {
			t.Errorf("%s is no step", want)
		}
	}
	for _, step := range steps {
		for _, when := range []podtest.When{podtest.Before, podtest.After} {
			t.Run(step+" "+string(when), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				_, pods := newService(t, w)
				w.Fail(step, when, 1)
				if _, err := pods.Run(t.Context(), podtest.SharedPID("web"), ""); !errors.Is(err, podtest.ErrInjected) {
					t.Fatalf("got %v", err)
				}
				if left := w.Leftovers(); len(left) > 0 {
					t.Errorf("left over: %v", left)
				}
				p, err := pods.Run(t.Context(), podtest.SharedPID("web"), "")
				if err != nil {
					t.Fatal(err)
				}
				steps := []string{"Tasks.Delete", "Snapshots.Remove", "Containers.Delete"}
				if when == podtest.Before { // a kill that is done but says it failed does no harm
					steps = append([]string{"Tasks.Kill"}, steps...)
				}
				for _, step := range steps {
					w.Fail(step, when, 1)
					if err := pods.Stop(t.Context(), p, func(context.Context) error { return nil }); !errors.Is(err, podtest.ErrInjected) {
						t.Errorf("%s fails: %v", step, err)
					}
				}
				nothing := func(context.Context) error { return nil }
				if err := pods.Remove(t.Context(), p, nothing, nothing); err != nil {
					t.Error(err)
				}
				if left := w.Leftovers(); len(left) > 0 {
					t.Errorf("left over: %v", left)
				}
			})
		}
	}
}

// TestSnapshotters: the image is unpacked for each that has pods.
func TestSnapshotters(t *testing.T) {
	t.Parallel()
	for name, configured := range map[string]bool{"built in": false, "configured": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			_, pods := newService(t, w, func(d *pause.Deps) {
				if configured {
					d.Image.PauseImage = "registry.test/pause:3"
				}
			})
			for i, handler := range []string{"", "other", ""} {
				p, err := pods.Run(t.Context(), podtest.SharedPID(fmt.Sprintf("web-%d", i)), handler)
				if err != nil {
					t.Fatal(err)
				}
				one, _ := w.Containers.Get(p.ID)
				if want := map[string]string{"": "overlayfs", "other": "native"}[handler]; one.Snapshotter != want {
					t.Errorf("snapshotter %q of handler %q", one.Snapshotter, handler)
				}
				w.known = true // as the image index does
			}
			nothing := func(context.Context) error { return nil }
			for _, p := range pods.All() {
				if err := pods.Remove(t.Context(), p, nothing, nothing); err != nil {
					t.Error(err)
				}
			}
			if left := w.Leftovers(); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
			if !w.unpacked["overlayfs"] || !w.unpacked["native"] {
				t.Errorf("unpacked in %v", w.unpacked)
			}
			if configured && !slices.Equal(w.pulled, []string{"registry.test/pause:3", "registry.test/pause:3"}) || !configured && len(w.pulled) > 0 {
				t.Errorf("pulled %q", w.pulled)
			}
		})
	}
}

// TestManyAtOnce: the image is made once.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, pods := newService(t, w)
		_, release := w.Hold("Image.Import")
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				if _, err := pods.Run(t.Context(), podtest.SharedPID(fmt.Sprintf("web-%d", i)), ""); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		release()
		group.Wait()
		if len(w.imported) != 1 {
			t.Errorf("imported %d times", len(w.imported))
		}
	})
}

// TestDoesNotEnd: a process that outlives SIGKILL is an error after a while.
func TestDoesNotEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, pods := newService(t, w)
		p, err := pods.Run(t.Context(), podtest.SharedPID("web"), "")
		if err != nil {
			t.Fatal(err)
		}
		w.Tasks.Ignore(unix.SIGKILL)
		begun := time.Now()
		err = s.Remove(t.Context(), p.ID)
		if !errdefs.IsFailedPrecondition(err) || time.Since(begun) != podtest.Config().StopTimeout.Std() || !strings.Contains(err.Error(), "stop pause container") {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		go func() {
			time.Sleep(time.Second)
			w.Tasks.Exit(p.ID, 137)
		}()
		if err := s.Remove(t.Context(), p.ID); err != nil {
			t.Error(err)
		}
	})
}

// TestShimHangs: a shim that does not answer is ended, so that the pod can go;
// if it cannot be found, the removal fails after a while.
func TestShimHangs(t *testing.T) {
	t.Parallel()
	for name, found := range map[string]bool{"killed": true, "not found": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s, pods := newService(t, w)
				p, err := pods.Run(t.Context(), podtest.SharedPID("web"), "")
				if err != nil {
					t.Fatal(err)
				}
				if found {
					w.Tasks.MortalShims()
				}
				w.On("Tasks.Kill", podtest.Before, func(ctx context.Context) error {
					<-ctx.Done()
					return context.Cause(ctx)
				})
				err = s.Remove(t.Context(), p.ID)
				if found && err != nil || !found && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				if _, left := w.World.Containers.Get(p.ID); left == found {
					t.Errorf("the record is there: %v", left)
				}
			})
		})
	}
}
