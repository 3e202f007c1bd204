package container_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// withImages mounts the world's image whole and by its directory data.
func withImages(cfg *runtimeapi.ContainerConfig) {
	cfg.Mounts = []*runtimeapi.Mount{
		{HostPath: "/etc", ContainerPath: "/host"},
		{Image: &runtimeapi.ImageSpec{Image: containertest.Image}, ContainerPath: "/whole", Readonly: true},
		{Image: &runtimeapi.ImageSpec{Image: containertest.Image}, ImageSubPath: "data", ContainerPath: "/part", Readonly: true},
	}
}

// mountsOf are the mounts of images in containers that exist on this machine.
func (n *node) mountsOf(t *testing.T) []string {
	t.Helper()
	found, err := mountinfo.GetMounts(mountinfo.PrefixFilter(n.ImageVolumeDir()))
	if err != nil {
		t.Fatal(err)
	}
	var at []string
	for _, m := range found {
		at = append(at, m.Mountpoint)
	}
	return at
}

func (n *node) removePod(t *testing.T) {
	t.Helper()
	err := n.Pods.Remove(context.WithoutCancel(t.Context()), n.pod,
		func(ctx context.Context) error { return n.Process.Containers.StopAll(ctx, n.pod.ID) },
		func(ctx context.Context) error { return n.Process.Containers.RemoveAll(ctx, n.pod.ID) })
	if err != nil {
		t.Error(err)
	}
	if left := n.mountsOf(t); len(left) > 0 {
		t.Errorf("still mounted: %v", left)
	}
}

func TestImageVolumes(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.create(t, "server", withImages)
	defer n.removePod(t)
	record, _ := n.World.Containers.Get(c.ID)
	root := filepath.Join(n.ImageVolumeDir(), c.ID, "overlayfs", "1")
	for destination, want := range map[string]string{"/whole": root, "/part": root + "/data"} {
		i := slices.IndexFunc(record.Spec.Mounts, func(m specs.Mount) bool { return m.Destination == destination })
		if i < 0 {
			t.Fatalf("%s is not mounted", destination)
		}
		if m := record.Spec.Mounts[i]; m.Source != want || !slices.Contains(m.Options, "ro") {
			t.Errorf("%s is %+v", destination, m)
		}
	}
	if got := n.mountsOf(t); !slices.Equal(got, []string{root}) {
		t.Errorf("mounted are %v, want one mount for both", got)
	}
	if seed, err := os.ReadFile(filepath.Join(root, "data", "seed")); err != nil || string(seed) != "from the image" {
		t.Errorf("in the image: %q, %v", seed, err)
	}
	if err := os.WriteFile(filepath.Join(root, "new"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("it can be written to: %v", err)
	}
	if view := n.Views.Last(); !slices.Equal(record.Views, []string{view.Key}) || view.Snapshotter != "overlayfs" || view.Writable {
		t.Errorf("the view is %+v, the record holds %v", view, record.Views)
	}
	// The kubelet learns where and what, and the retry of a creation sees no difference.
	c = n.restart(t, c)
	mounts := c.Mounts()
	if len(mounts) != 3 || mounts[0].GetHostPath() != "/etc" || mounts[1].GetHostPath() != root || mounts[2].GetHostPath() != root+"/data" ||
		mounts[2].GetImage().GetImageRef() != c.ImageRef || mounts[2].GetImageSubPath() != "data" {
		t.Errorf("status has %v", mounts)
	}
	if again := n.create(t, "server", withImages); again.ID != c.ID {
		t.Error("the retry made another")
	}
}

// TestImageVolumesInUserNamespace: the view is shifted, so the bind must not
// be; and with SELinux the mount has a label of its own.
func TestImageVolumesInUserNamespace(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	ids := []*runtimeapi.IDMapping{{HostId: 100000, Length: 65536}}
	userns := &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD, Uids: ids, Gids: ids}
	sandbox := podtest.Sandbox("mapped")
	sandbox.Linux.SecurityContext.NamespaceOptions.UsernsOptions = userns
	var err error
	if n.pod, err = n.Pods.Run(t.Context(), sandbox, ""); err != nil {
		t.Fatal(err)
	}
	c := n.create(t, "server", withImages, func(cfg *runtimeapi.ContainerConfig) {
		cfg.Linux.SecurityContext.NamespaceOptions.UsernsOptions = userns
		for _, m := range cfg.Mounts {
			m.UidMappings, m.GidMappings = ids, ids
		}
	})
	defer n.removePod(t)
	record, _ := n.World.Containers.Get(c.ID)
	for _, m := range record.Spec.Mounts {
		if shifted := len(m.UIDMappings) > 0; (m.Destination == "/host") != shifted && slices.Contains([]string{"/host", "/whole", "/part"}, m.Destination) {
			t.Errorf("%s has mappings %v", m.Destination, m.UIDMappings)
		}
	}
	if view := n.Views.Last(); view.Labels["containerd.io/snapshot/uidmapping"] != "0:100000:65536" || !view.Writable {
		t.Errorf("the view is %+v", view)
	}
}

func TestImageVolumesFail(t *testing.T) {
	t.Parallel()
	reference := newNode(t)
	reference.Calls()
	reference.create(t, "server", withImages)
	steps := reference.Steps()
	reference.removePod(t)
	if !slices.Contains(steps, "Views.Create") {
		t.Error("Views.Create is no step")
	}
	eachFailure(t, steps, func(t *testing.T, step string, when podtest.When) {
		n := newNode(t)
		n.Fail(step, when, 1)
		cfg := containertest.Config("server")
		withImages(cfg)
		_, err := n.Process.Containers.Create(t.Context(), n.pod, cfg)
		injected(t, err)
		n.leaves(t)
		n.create(t, "server", withImages)
		n.removePod(t)
		if left := n.Leftovers(); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	})
}

// TestImageVolumesAreReleased also if the first attempt fails.
func TestImageVolumesAreReleased(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.create(t, "server", withImages)
	n.Fail("Views.Remove", podtest.Before, 1)
	injected(t, n.Process.Containers.Remove(t.Context(), c))
	n.leaves(t, "container", "image-volumes", "view", "volumes")
	if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	n.leaves(t)
	n.removePod(t)
}

// TestImageVolumesAfterUmount: the start mounts again what somebody took away.
func TestImageVolumesAfterUmount(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.create(t, "server", withImages)
	defer n.removePod(t)
	root := n.mountsOf(t)[0]
	if err := unix.Unmount(root, 0); err != nil {
		t.Fatal(err)
	}
	c = n.restart(t, c)
	if err := n.Process.Containers.Start(t.Context(), c, n.pod); err != nil {
		t.Fatal(err)
	}
	if got := n.mountsOf(t); !slices.Equal(got, []string{root}) {
		t.Errorf("mounted are %v", got)
	}
}

// TestImageVolumesAreSwept if no container has them, and only then.
func TestImageVolumesAreSwept(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.create(t, "server", withImages)
	defer n.removePod(t)
	stray := filepath.Join(n.ImageVolumeDir(), "0badcafe", "overlayfs", "0")
	if err := os.MkdirAll(stray, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // mounted twice, as by two attempts
		if err := unix.Mount(n.ImageRoot(), stray, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
	n.restart(t, c)
	n.Fail("Views.Remove", podtest.Before, 1)
	injected(t, n.Process.Containers.Sweep(t.Context()))
	if err := n.Process.Containers.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := n.mountsOf(t); len(left) != 1 || !strings.Contains(left[0], c.ID) {
		t.Errorf("mounted are %v", left)
	}
	n.leaves(t, "container", "image-volumes", "snapshot", "view", "volumes")
}

// TestHostPath: links are followed, what is not there is made a directory, and
// what cannot be is the client's fault.
func TestHostPath(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"link": dir + "/real", "loop": "loop2", "loop2": "loop", "dangling": dir + "/none/at/all"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(dir+"/real", 0o700), os.WriteFile(dir+"/file", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"real": "real", "link": "real", "new/and/deep": "new/and/deep", "file": "file", "link/made": "real/made"} {
		c := n.create(t, strings.ReplaceAll("at-"+path, "/", "-"), func(cfg *runtimeapi.ContainerConfig) {
			cfg.Mounts = []*runtimeapi.Mount{{HostPath: filepath.Join(dir, path), ContainerPath: "/x"}}
		})
		record, _ := n.World.Containers.Get(c.ID)
		last := record.Spec.Mounts[slices.IndexFunc(record.Spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/x" })]
		if last.Source != filepath.Join(dir, want) {
			t.Errorf("%s: the source is %s, want %s", path, last.Source, want)
		}
		if _, err := os.Stat(last.Source); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{"loop", "loop/below", "file/below", "dangling", strings.Repeat("n", 300)} {
		cfg := containertest.Config("bad")
		cfg.Mounts = []*runtimeapi.Mount{{HostPath: dir, ContainerPath: "/y"}, {HostPath: filepath.Join(dir, path), ContainerPath: "/x"}}
		_, err := n.Process.Containers.Create(t.Context(), n.pod, cfg)
		if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), `mounts[1].host_path "`+dir) {
			t.Errorf("%.20s: got %v", path, err)
		}
	}
}

// TestNothingIsMadeForBadMounts: one wrong mount, and the directory of the
// other is not made.
func TestNothingIsMadeForBadMounts(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	dir := filepath.Join(t.TempDir(), "new")
	for name, bad := range map[string]*runtimeapi.Mount{
		"option":      {HostPath: "/etc", ContainerPath: "/x", MountOptions: []string{"exec"}},
		"propagation": {HostPath: "/etc", ContainerPath: "/x", Propagation: 7},
		"image":       {HostPath: "/etc", ContainerPath: "/x", Image: &runtimeapi.ImageSpec{Image: containertest.Image}},
		"sub path":    {HostPath: "/etc", ContainerPath: "/x", ImageSubPath: "y"},
	} {
		cfg := containertest.Config("server")
		cfg.Mounts = []*runtimeapi.Mount{{HostPath: dir, ContainerPath: "/y"}, bad}
		_, err := n.Process.Containers.Create(t.Context(), n.pod, cfg)
		if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), "mounts[1].") {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the other's directory: %v", name, err)
		}
	}
}

// TestQuarantinedImageVolumes go by their directories: the record is unreadable.
func TestQuarantinedImageVolumes(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := n.create(t, "server", withImages)
	record, _ := n.World.Containers.Get(c.ID)
	broken := record
	broken.Record = proto.CloneOf(record.Record)
	broken.Record.Config = []byte("none")
	n.World.Containers.Put(broken)
	n.restart(t, nil)
	if found, err := n.Process.Containers.RemoveQuarantined(t.Context(), c.ID); !found || err != nil {
		t.Fatal(found, err)
	}
	n.leaves(t)
	n.removePod(t)
}
