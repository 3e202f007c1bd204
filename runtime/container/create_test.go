package container_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/image/imagetest"
	"github.com/trivet-cri/trivet/runtime/mountsfile"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.create(t, "server")
	if state := c.State(); state.Phase != created || state.PID != 0 || !state.StartedAt.IsZero() {
		t.Errorf("state %+v", state)
	}
	if c.PodID != n.pod.ID || c.LogPath != "/var/log/pods/web/server/0.log" || !strings.HasPrefix(c.ImageID, "sha256:") || c.ImageRef == "" {
		t.Errorf("container %+v", c)
	}
	if s := c.Streams; s.GetId() != c.ID || s.GetPodId() != n.pod.ID || s.GetName() != "server" || s.GetPodName() != "web" || s.GetPodNamespace() != "shop" || s.GetPodUid() != "uid-web" {
		t.Errorf("to the streamer it is %v", s)
	}
	record, _ := n.World.Containers.Get(c.ID)
	kept := &runtimeapi.ContainerConfig{}
	if err := proto.Unmarshal(record.Record.GetConfig(), kept); err != nil || !proto.Equal(kept, containertest.Config("server")) {
		t.Errorf("recorded configuration: %v, %v", kept, err)
	}
	if record.Image != containertest.Image || record.Snapshotter != "overlayfs" || record.SnapshotKey != c.ID || record.Labels["io.kubernetes.container.name"] != "server" {
		t.Errorf("record %+v", record)
	}
	if got := record.Spec.Process.Args; !slices.Equal(got, []string{"/bin/server"}) {
		t.Errorf("the process is %q", got)
	}
	seed, err := os.ReadFile(filepath.Join(n.VolumeDir(), c.ID, "0", "seed"))
	if err != nil || string(seed) != "from the image" {
		t.Errorf("volume: %q, %v", seed, err)
	}
	mounted := slices.ContainsFunc(record.Spec.Mounts, func(m specs.Mount) bool {
		return m.Destination == "/data" && m.Source == filepath.Join(n.VolumeDir(), c.ID, "0")
	})
	if !mounted {
		t.Error("the volume is not mounted")
	}
	n.leaves(t, "container", "snapshot", "volumes")
}

// TestImageName: the user's own words for the image are what hooks see.
func TestImageName(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for asked, want := range map[string]string{"": containertest.Image, "web:latest": "web:latest"} {
		cfg := containertest.Config("named-" + strconv.Itoa(len(asked)))
		cfg.Image.UserSpecifiedImage = asked
		c, err := n.Process.Containers.Create(t.Context(), n.pod, cfg)
		if err != nil {
			t.Fatal(err)
		}
		one, _ := n.World.Containers.Get(c.ID)
		if got := one.Spec.Annotations["io.kubernetes.cri.image-name"]; got != want {
			t.Errorf("asked for as %q: got %q, want %q", asked, got, want)
		}
	}
}

func TestCreateFails(t *testing.T) {
	t.Parallel()
	reference := newNode(t)
	reference.Calls()
	reference.create(t, "server")
	steps := reference.Steps()
	for _, want := range []string{"Containers.Create", "Snapshots.Prepare", "Snapshots.View", "Plugins.CreateContainer"} {
		if !slices.Contains(steps, want) {
			t.Errorf("%s is no step", want)
		}
	}
	eachFailure(t, steps, func(t *testing.T, step string, when podtest.When) {
		n := newNode(t)
		n.Fail(step, when, 1)
		_, err := n.Process.Containers.Create(t.Context(), n.pod, containertest.Config("server"))
		injected(t, err)
		n.leaves(t)
		if known := n.Hooks.IDs(); len(known) > 0 {
			t.Errorf("plugins still know %v", known)
		}
		if len(n.Process.Containers.All()) != 0 || len(n.Process.Containers.Running()) != 0 {
			t.Error("the service has it")
		}
		n.create(t, "server")
		if err := n.Pods.Remove(t.Context(), n.pod,
			func(ctx context.Context) error { return n.Process.Containers.StopAll(ctx, n.pod.ID) },
			func(ctx context.Context) error { return n.Process.Containers.RemoveAll(ctx, n.pod.ID) }); err != nil {
			t.Error(err)
		}
		if left := n.Leftovers(); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	})
}

// TestVolumeFails: an error amid the volumes takes those that are there.
func TestVolumeFails(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	content := imagetest.NewContent("volumes")
	content.Config.Config.Entrypoint = []string{"/bin/server"}
	content.Config.Config.Volumes = map[string]struct{}{"/data": {}, "/loop": {}}
	if err := n.AddImage("registry.test/volumes:1", content); err != nil {
		t.Fatal(err)
	}
	for _, link := range [][2]string{{"loop", "loop2"}, {"loop2", "loop"}} {
		if err := os.Symlink(link[0], filepath.Join(n.ImageRoot(), link[1])); err != nil {
			t.Fatal(err)
		}
	}
	cfg := containertest.Config("server")
	cfg.Image.Image = "registry.test/volumes:1"
	if _, err := n.Process.Containers.Create(t.Context(), n.pod, cfg); err == nil || !strings.Contains(err.Error(), "/loop") {
		t.Errorf("got %v", err)
	}
	n.leaves(t)
}

// TestVolumes: links of the image do not lead out of it, files and missing
// directories give empty volumes, and what the request mounts is left out.
func TestVolumes(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	secret := t.TempDir()
	if err := os.WriteFile(filepath.Join(secret, "key"), []byte("of the host"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"absolute": secret, "relative": "../../../../../../../.." + secret, "inside": "/data"} {
		if err := os.Symlink(target, filepath.Join(n.ImageRoot(), name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(n.ImageRoot(), "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	content := imagetest.NewContent("volumes")
	content.Config.Config.Entrypoint = []string{"/bin/server"}
	volumes := []string{"/absolute", "/file", "/inside", "/mounted/", "/none", "/relative"}
	content.Config.Config.Volumes = make(map[string]struct{})
	for _, v := range volumes {
		content.Config.Config.Volumes[v] = struct{}{}
	}
	if err := n.AddImage("registry.test/volumes:1", content); err != nil {
		t.Fatal(err)
	}
	c := n.create(t, "server", func(cfg *runtimeapi.ContainerConfig) {
		cfg.Image.Image = "registry.test/volumes:1"
		cfg.Mounts = []*runtimeapi.Mount{{HostPath: secret, ContainerPath: "/mounted"}}
	})
	record, _ := n.World.Containers.Get(c.ID)
	for _, m := range record.Spec.Mounts {
		if !strings.HasPrefix(m.Source, n.VolumeDir()) {
			continue
		}
		if !slices.Contains(volumes, m.Destination) || m.Destination == "/mounted/" {
			t.Errorf("a volume at %s", m.Destination)
		}
		entries, err := os.ReadDir(m.Source)
		if err != nil {
			t.Error(err)
		}
		want := 0
		if m.Destination == "/inside" {
			want = 1
		}
		if len(entries) != want {
			t.Errorf("%s has %v", m.Destination, entries)
		}
	}
	if made, err := os.ReadDir(filepath.Join(n.VolumeDir(), c.ID)); err != nil || len(made) != len(volumes)-1 {
		t.Errorf("%d volumes are made, %v", len(made), err)
	}
	off := newNode(t, func(d *container.Deps) { d.Config.IgnoreImageVolumes = true })
	off.create(t, "server")
	off.leaves(t, "container", "snapshot")
}

// TestDefaultMounts are copies, where the request mounts nothing, and before
// the image's volumes.
func TestDefaultMounts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte("of the node"), 0o640); err != nil {
		t.Fatal(err)
	}
	n := newNode(t, func(d *container.Deps) {
		d.DefaultMounts = []mountsfile.Mount{
			{Source: dir, Target: "/run/secrets"},
			{Source: dir + "/key", Target: "/etc/key"},
			{Source: dir, Target: "/data"},
			{Source: dir, Target: "/mine"},
			{Source: dir + "/none", Target: "/none"},
		}
	})
	c := n.create(t, "server", func(cfg *runtimeapi.ContainerConfig) {
		cfg.Mounts = []*runtimeapi.Mount{{HostPath: dir, ContainerPath: "/mine/"}}
	})
	record, _ := n.World.Containers.Get(c.ID)
	sources := make(map[string]string)
	for _, m := range record.Spec.Mounts {
		if strings.HasPrefix(m.Source, n.VolumeDir()) {
			sources[m.Destination] = m.Source
		}
	}
	if len(sources) != 3 {
		t.Errorf("mounted are %v", sources)
	}
	for _, file := range []string{sources["/run/secrets"] + "/key", sources["/etc/key"], sources["/data"] + "/key"} {
		if text, err := os.ReadFile(file); err != nil || string(text) != "of the node" {
			t.Errorf("%s has %q, %v", file, text, err)
		}
	}
	if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	n.leaves(t)
	// One that cannot be copied takes all with it.
	if err := os.Symlink(".", filepath.Join(dir, "circle")); err != nil {
		t.Fatal(err)
	}
	_, err := n.Process.Containers.Create(t.Context(), n.pod, containertest.Config("server"))
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
	n.leaves(t)
}

// TestAccountsAreReadOnce: also by many containers at the same time, one of
// whose clients gives up.
func TestAccountsAreReadOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, func(d *container.Deps) { d.Config.IgnoreImageVolumes = true; d.Config.CreateTimeout /= 2 })
		_, release := n.Hold("Snapshots.View")
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := n.Process.Containers.Create(short, n.pod, containertest.Config("first")); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"spec"`) {
				t.Errorf("the client that gave up gets %v", err)
			}
		})
		synctest.Wait()
		for _, name := range []string{"a", "b", "c"} {
			group.Go(func() { n.create(t, name) })
		}
		time.Sleep(2 * time.Second) // of the bubble's clock: the client has given up
		release()
		group.Wait()
		n.create(t, "first")
		n.create(t, "later")
		if reads := n.Called("Snapshots.View"); reads != 1 {
			t.Errorf("the image's accounts were read %d times", reads)
		}
	})
}

// TestAccountsReaderGivesUp: the end of the one who began to read is not that
// of those who wait with it.
func TestAccountsReaderGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, func(d *container.Deps) {
			d.Config.IgnoreImageVolumes, d.Config.CreateTimeout = true, config.Duration(10*time.Second)
		})
		_, release := n.Hold("Snapshots.View")
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := n.Process.Containers.Create(t.Context(), n.pod, containertest.Config("first")); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the first gets %v", err)
			}
		})
		time.Sleep(5 * time.Second) // of the bubble's clock
		group.Go(func() { n.create(t, "second") })
		time.Sleep(7 * time.Second)
		release()
		group.Wait()
		if reads := n.Called("Snapshots.View"); reads != 1 {
			t.Errorf("the image's accounts were read %d times", reads)
		}
	})
}

// TestSweepAmidCreation: what a container that is being made has is not taken.
func TestSweepAmidCreation(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.On("Snapshots.View", podtest.After, func(ctx context.Context) error { return n.Process.Containers.Sweep(ctx) })
	c := n.create(t, "server")
	if _, err := os.Stat(filepath.Join(n.VolumeDir(), c.ID, "0", "seed")); err != nil || n.Called("Streams.Sweep") != 2 {
		t.Errorf("after %d sweeps: %v", n.Called("Streams.Sweep"), err)
	}
}

func TestCreateOtherwise(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.create(t, "server")
	if again := n.create(t, "server"); again != c {
		t.Error("a retry gets another container")
	}
	other := containertest.Config("server")
	other.Args = []string{"--other"}
	if _, err := n.Process.Containers.Create(t.Context(), n.pod, other); !errdefs.IsAlreadyExists(err) || !strings.Contains(err.Error(), c.ID) {
		t.Errorf("asked otherwise: %v", err)
	}
	if err := n.Process.Containers.Start(t.Context(), c, n.pod); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Process.Containers.Create(t.Context(), n.pod, containertest.Config("server")); !errdefs.IsAlreadyExists(err) {
		t.Errorf("after its start: %v", err)
	}
	if next := n.create(t, "server", func(cfg *runtimeapi.ContainerConfig) { cfg.Metadata.Attempt = 1 }); next.ID == c.ID {
		t.Error("the next attempt is the same container")
	}
	if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if again := n.create(t, "server"); again.ID == c.ID {
		t.Error("a removed container is back")
	}
}

func TestCreateJoins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		_, release := n.Hold("Snapshots.Prepare")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Process.Containers.Create(ctx, n.pod, containertest.Config("server")); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "snapshot") {
			t.Fatalf("the client that gave up gets %v", err)
		}
		var group sync.WaitGroup
		group.Go(func() { n.create(t, "server") })
		group.Go(func() {
			other := containertest.Config("server")
			other.Args = []string{"--other"}
			if _, err := n.Process.Containers.Create(t.Context(), n.pod, other); !errdefs.IsAlreadyExists(err) {
				t.Errorf("one who asks otherwise gets %v", err)
			}
		})
		// Meanwhile the sweep leaves it alone.
		if err := n.Process.Containers.Sweep(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		release()
		group.Wait()
		n.leaves(t, "container", "snapshot", "volumes")
	})
}

func TestCreateRefused(t *testing.T) {
	t.Parallel()
	type edit = func(*runtimeapi.ContainerConfig)
	options := func(c *runtimeapi.ContainerConfig) *runtimeapi.NamespaceOption {
		return c.Linux.SecurityContext.NamespaceOptions
	}
	for name, try := range map[string]struct {
		edit edit
		kind error
		says string
	}{
		"no name":       {func(c *runtimeapi.ContainerConfig) { c.Metadata = nil }, errdefs.ErrInvalidArgument, "config.metadata.name"},
		"no image":      {func(c *runtimeapi.ContainerConfig) { c.Image = nil }, errdefs.ErrInvalidArgument, "image"},
		"unknown image": {func(c *runtimeapi.ContainerConfig) { c.Image.Image = "registry.test/none:1" }, errdefs.ErrNotFound, "registry.test/none:1"},
		"log elsewhere": {func(c *runtimeapi.ContainerConfig) { c.LogPath = "../../etc/passwd" }, errdefs.ErrInvalidArgument, "../../etc/passwd"},
		"absolute log":  {func(c *runtimeapi.ContainerConfig) { c.LogPath = "/etc/passwd" }, errdefs.ErrInvalidArgument, "config.log_path"},
		"signal":        {func(c *runtimeapi.ContainerConfig) { c.StopSignal = 999 }, errdefs.ErrInvalidArgument, "config.stop_signal"},
		"image mount": {func(c *runtimeapi.ContainerConfig) {
			c.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", Image: &runtimeapi.ImageSpec{Image: "registry.test/x"}}}
		}, errdefs.ErrNotFound, `mounts[0].image "registry.test/x": ImageVolumeMountFailed`},
		"relative mount": {func(c *runtimeapi.ContainerConfig) {
			c.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", HostPath: "relative"}}
		}, errdefs.ErrInvalidArgument, "relative"},
		"bad host path": {func(c *runtimeapi.ContainerConfig) {
			c.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", HostPath: "/dev/null/below"}}
		}, errdefs.ErrInvalidArgument, `mounts[0].host_path "/dev/null/below"`},
		"unknown target": {func(c *runtimeapi.ContainerConfig) {
			options(c).Pid, options(c).TargetId = runtimeapi.NamespaceMode_TARGET, "0badcafe"
		}, errdefs.ErrNotFound, "target_id"},
		"user": {func(c *runtimeapi.ContainerConfig) { c.Linux.SecurityContext.RunAsUsername = "nobody-knows" }, nil, "nobody-knows"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			cfg := containertest.Config("server")
			try.edit(cfg)
			_, err := n.Process.Containers.Create(t.Context(), n.pod, cfg)
			if err == nil || try.kind != nil && !errors.Is(err, try.kind) || !strings.Contains(err.Error(), try.says) {
				t.Errorf("got %v", err)
			}
			n.leaves(t)
		})
	}
}

func TestLogPath(t *testing.T) {
	t.Parallel()
	for name, try := range map[string]struct{ dir, path, want, says string }{
		"both":         {"/var/log/pods/web", "server/0.log", "/var/log/pods/web/server/0.log", ""},
		"no directory": {"", "server/0.log", "", ""},
		"no path":      {"/var/log/pods/web", "", "", ""},
		"untidy":       {"/var/log/pods/web/", "./a/../0.log", "/var/log/pods/web/0.log", ""},
		"dots":         {"/var/log", "..log", "/var/log/..log", ""},
		"relative":     {"logs", "0.log", "", "sandbox_config.log_directory"},
		"out":          {"/var/log", "a/../../0.log", "", "config.log_path"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			sandbox := podtest.Sandbox("logs")
			sandbox.LogDirectory = try.dir
			p, err := n.Pods.Run(t.Context(), sandbox, "")
			if err != nil {
				t.Fatal(err)
			}
			cfg := containertest.Config("server")
			cfg.LogPath = try.path
			c, err := n.Process.Containers.Create(t.Context(), p, cfg)
			if try.says != "" {
				if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), try.says) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || c.LogPath != try.want {
				t.Errorf("%v, %v", c, err)
			}
		})
	}
}

func TestPodNotReady(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.create(t, "server")
	if err := n.Pods.Stop(t.Context(), n.pod, func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Process.Containers.Create(t.Context(), n.pod, containertest.Config("late")); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("created: %v", err)
	}
	if err := n.Process.Containers.Start(t.Context(), c, n.pod); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("started: %v", err)
	}
	if c.State().Phase != created {
		t.Errorf("state %+v", c.State())
	}
}

// TestMounts: links are followed, and directories that are missing are made.
func TestMounts(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	dir := t.TempDir()
	real, link, missing := filepath.Join(dir, "real"), filepath.Join(dir, "link"), filepath.Join(dir, "not", "yet")
	if err := errors.Join(os.Mkdir(real, 0o755), os.Symlink(real, link)); err != nil {
		t.Fatal(err)
	}
	c := n.create(t, "server", func(cfg *runtimeapi.ContainerConfig) {
		cfg.Mounts = []*runtimeapi.Mount{{ContainerPath: "/a", HostPath: link}, {ContainerPath: "/b", HostPath: missing, Readonly: true}}
	})
	record, _ := n.World.Containers.Get(c.ID)
	sources := make(map[string]string)
	for _, m := range record.Spec.Mounts {
		sources[m.Destination] = m.Source
	}
	if sources["/a"] != real || sources["/b"] != missing {
		t.Errorf("sources %v", sources)
	}
	if info, err := os.Stat(missing); err != nil || !info.IsDir() {
		t.Error(err)
	}
	if c.Config.Mounts[0].HostPath != link {
		t.Error("the status does not have the mount as it was asked for")
	}
}

// TestPIDNamespaces: which one a container joins.
func TestPIDNamespaces(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	shared, err := n.Pods.Run(t.Context(), podtest.SharedPID("shared"), "")
	if err != nil {
		t.Fatal(err)
	}
	pidOf := func(c *container.Container) string {
		record, _ := n.World.Containers.Get(c.ID)
		for _, ns := range record.Spec.Linux.Namespaces {
			if ns.Type == "pid" {
				return ns.Path
			}
		}
		return "host"
	}
	mode := func(m runtimeapi.NamespaceMode, target string) func(*runtimeapi.ContainerConfig) {
		return func(cfg *runtimeapi.ContainerConfig) {
			cfg.Linux.SecurityContext.NamespaceOptions = &runtimeapi.NamespaceOption{Pid: m, TargetId: target}
		}
	}
	server := n.start(t, "server")
	if got := pidOf(server); got != "" {
		t.Errorf("its own: %q", got)
	}
	debug := n.create(t, "debug", mode(runtimeapi.NamespaceMode_TARGET, server.ID))
	if got := pidOf(debug); !strings.HasPrefix(got, "/proc/5000") {
		t.Errorf("the target's: %q", got)
	}
	for name, try := range map[string]struct {
		pod    string
		target string
		kind   func(error) bool
	}{
		"of another pod": {shared.ID, server.ID, errdefs.IsInvalidArgument},
		"not running":    {n.pod.ID, debug.ID, errdefs.IsFailedPrecondition},
	} {
		cfg := containertest.Config("other")
		mode(runtimeapi.NamespaceMode_TARGET, try.target)(cfg)
		if _, err := n.Process.Containers.Create(t.Context(), n.Pods.All()[try.pod], cfg); !try.kind(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	own := n.pod
	n.pod = shared
	if got := pidOf(n.create(t, "member", mode(runtimeapi.NamespaceMode_POD, ""))); !strings.HasPrefix(got, "/proc/") {
		t.Errorf("the pod's: %q", got)
	}
	// After a restart nobody knows the pause container's process at first.
	n.restart(t, nil)
	cfg := containertest.Config("early")
	mode(runtimeapi.NamespaceMode_POD, "")(cfg)
	if _, err := n.Process.Containers.Create(t.Context(), n.pod, cfg); !errdefs.IsUnavailable(err) {
		t.Errorf("before the pause container is found: %v", err)
	}
	n.Pods.Verify(t.Context())
	if _, err := n.Process.Containers.Create(t.Context(), n.pod, cfg); err != nil {
		t.Error(err)
	}
	if n.Pods.All()[own.ID] == nil {
		t.Error("the first pod is gone")
	}
}

func TestUserNamespace(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	mapping := []*runtimeapi.IDMapping{{HostId: 65536, ContainerId: 0, Length: 65536}}
	userns := &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD, Uids: mapping, Gids: mapping}
	sandbox := podtest.Sandbox("userns")
	sandbox.Linux.SecurityContext.NamespaceOptions.UsernsOptions = userns
	var err error
	if n.pod, err = n.Pods.Run(t.Context(), sandbox, ""); err != nil {
		t.Fatal(err)
	}
	n.create(t, "server", func(cfg *runtimeapi.ContainerConfig) {
		cfg.Linux.SecurityContext.NamespaceOptions.UsernsOptions = userns
	})
	labels := n.Snapshots.Labels()
	if labels["containerd.io/snapshot/uidmapping"] != "0:65536:65536" || labels["containerd.io/snapshot/gidmapping"] != "0:65536:65536" {
		t.Errorf("labels %v", labels)
	}
}

// TestLongNames: containerd refuses labels of more than 4096 bytes.
func TestLongNames(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.create(t, strings.Repeat("n", 5000), func(cfg *runtimeapi.ContainerConfig) { cfg.LogPath = "0.log" })
	record, _ := n.World.Containers.Get(c.ID)
	for key, value := range record.Labels {
		if len(key)+len(value) > 4096 {
			t.Errorf("label %s has %d bytes", key, len(value))
		}
	}
}
