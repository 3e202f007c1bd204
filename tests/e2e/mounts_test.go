//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
)

// mounts is an edit: the container's mounts.
func mounts(all ...*runtimeapi.Mount) harness.ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) { c.Mounts = append(c.Mounts, all...) }
}

func imageMount(image, sub, target string) *runtimeapi.Mount {
	return &runtimeapi.Mount{Image: &runtimeapi.ImageSpec{Image: image}, ImageSubPath: sub, ContainerPath: target, Readonly: true}
}

// settled is a pod whose cgroup exists, and what exists with it.
func settled(t *testing.T, group *harness.Group, name string, edits ...harness.PodEdit) (*harness.Pod, harness.Residue) {
	t.Helper()
	pod := runPod(t, group.CRI, name, edits...)
	ok(t, need(pod.Run(limit(t, time.Minute), "first", inNamespaceOf(pod)))(t).Remove(limit(t, time.Minute)))
	return pod, need(group.Residue(limit(t, time.Minute)))(t)
}

// inNamespaceOf is an edit: the container joins its pod's user namespace.
func inNamespaceOf(pod *harness.Pod) harness.ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) {
		options := pod.Config.GetLinux().GetSecurityContext().GetNamespaceOptions()
		if options.GetUsernsOptions() != nil {
			c.Linux.SecurityContext = &runtimeapi.LinuxContainerSecurityContext{NamespaceOptions: options}
		}
	}
}

func TestImageVolumes(t *testing.T) {
	ctx, group := limit(t, 2*time.Minute), ownGroup(t)
	need(group.Pull(ctx, harness.Volume))(t) // of several layers; busybox has one
	pod, before := settled(t, group, "image-volumes")
	c := need(pod.Create(ctx, "reader", mounts(
		imageMount(harness.Volume, "", "/volume"),
		imageMount(harness.Volume, "inside", "/volume/mnt"),
		imageMount(harness.Busybox, "bin", "/tools"),
	)))(t)
	// The runtime is killed between creation and start, and then the image is removed.
	old := need(group.Kill(ctx, "runtime"))(t)
	ok(t, group.AwaitGeneration(ctx, old))
	_, err := group.RemoveImage(ctx, &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: harness.Volume}})
	ok(t, err)
	ok(t, c.Start(ctx))
	for script, want := range map[string]string{
		"cat /volume/mnt/file":      "of the image\n",
		"cat /volume/data/file":     "of the image\n",
		"/tools/echo tool":          "tool\n",
		"touch /volume/x 2>&1 || :": "touch: /volume/x: Read-only file system\n",
		"touch /tools/x 2>&1 || :":  "touch: /tools/x: Read-only file system\n",
		"mount -o remount,rw /volume 2>/dev/null; touch /volume/y 2>/dev/null || echo no": "no\n",
	} {
		if out := need(c.Output(ctx, script))(t); out != want {
			t.Errorf("%s says %q, want %q", script, out, want)
		}
	}
	for i, m := range need(c.Status(ctx))(t).GetMounts() {
		if m.GetImage().GetImageRef() == "" || !strings.HasPrefix(m.GetHostPath(), group.Config.State) {
			t.Errorf("mount %d in the status is %v", i, m)
		}
	}
	ok(t, c.Remove(ctx))
	ok(t, group.AwaitNoResidue(limit(t, 20*time.Second), before))

	need(group.Pull(ctx, harness.Volume))(t)
	for name, test := range map[string]struct {
		mount *runtimeapi.Mount
		code  codes.Code
		says  string
	}{
		"absolute": {imageMount(harness.Volume, "absolute", "/x"), codes.InvalidArgument, `mounts[1].image_sub_path "absolute"`},
		"outside":  {imageMount(harness.Volume, "outside", "/x"), codes.InvalidArgument, `mounts[1].image_sub_path "outside"`},
		"loop":     {imageMount(harness.Volume, "loop", "/x"), codes.InvalidArgument, `mounts[1].image_sub_path "loop"`},
		"parent":   {imageMount(harness.Volume, "../..", "/x"), codes.InvalidArgument, `mounts[1].image_sub_path "../.."`},
		"missing":  {imageMount(harness.Volume, "data/none", "/x"), codes.InvalidArgument, `mounts[1].image_sub_path "data/none"`},
		"file":     {imageMount(harness.Volume, "data/file", "/x"), codes.InvalidArgument, `mounts[1].image_sub_path "data/file"`},
		"image":    {imageMount("registry.k8s.io/no/such:1", "", "/x"), codes.NotFound, `mounts[1].image "registry.k8s.io/no/such:1"`},
	} {
		_, err := pod.Create(ctx, "bad-"+name, mounts(imageMount(harness.Busybox, "", "/good"), test.mount))
		says(t, err, test.says)
		if status.Code(errors.Unwrap(err)) != test.code {
			t.Errorf("%s: got %v, want %s", name, err, test.code)
		}
	}
	ok(t, group.AwaitNoResidue(limit(t, 20*time.Second), before))
}

// program makes a directory with a program, and a tmpfs below it.
func program(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ok(t, os.Chmod(dir, 0o755))
	ok(t, os.WriteFile(filepath.Join(dir, "program"), []byte("#!/bin/sh\necho ran\n"), 0o755))
	ok(t, os.Mkdir(filepath.Join(dir, "below"), 0o755))
	ok(t, unix.Mount("tmpfs", filepath.Join(dir, "below"), "tmpfs", 0, ""))
	t.Cleanup(func() { ok(t, unix.Unmount(filepath.Join(dir, "below"), unix.MNT_DETACH)) })
	return dir
}

// TestMountOptions looks at what the options do, with each OCI runtime.
func TestMountOptions(t *testing.T) {
	dir := program(t)
	for _, handler := range []string{"runc", "crun"} {
		t.Run(handler, func(t *testing.T) {
			ctx := limit(t, time.Minute)
			cfg := need(stage.CRI().PodConfig("options-" + handler))(t)
			pod := need(stage.CRI().RunPodConfig(ctx, cfg, handler))(t)
			defer func() { ok(t, pod.Remove(limit(t, time.Minute))) }()
			c := need(pod.Run(ctx, "looker", mounts(
				&runtimeapi.Mount{HostPath: dir, ContainerPath: "/plain"},
				&runtimeapi.Mount{HostPath: dir, ContainerPath: "/noexec", MountOptions: []string{"noexec", "nosuid", "nodev"}},
				&runtimeapi.Mount{HostPath: dir, ContainerPath: "/ro", Readonly: true},
				&runtimeapi.Mount{HostPath: dir, ContainerPath: "/rro", Readonly: true, RecursiveReadOnly: true},
				withOptions(imageMount(harness.Busybox, "bin", "/image"), "noexec"),
			), func(c *runtimeapi.ContainerConfig) { c.WorkingDir = "/made/by/runtime" }))(t)
			for script, want := range map[string]string{
				"pwd":                                                   "/made/by/runtime\n",
				"/plain/program":                                        "ran\n",
				"/noexec/program 2>/dev/null || echo $?":                "126\n",
				"/image/true 2>/dev/null || echo $?":                    "126\n",
				"touch /ro/x 2>/dev/null || echo no":                    "no\n",
				"touch /ro/below/x && echo yes":                         "yes\n",
				"touch /rro/below/x 2>/dev/null || echo no":             "no\n",
				"grep -c ' /noexec .*nosuid,nodev,noexec' /proc/mounts": "1\n",
			} {
				if out := need(c.Output(ctx, script))(t); out != want {
					t.Errorf("%s says %q, want %q", script, out, want)
				}
			}
		})
	}
}

func withOptions(m *runtimeapi.Mount, options ...string) *runtimeapi.Mount {
	m.MountOptions = options
	return m
}

// TestPropagation mounts in a container and on the host, and looks at the
// other side.
func TestPropagation(t *testing.T) {
	ctx := limit(t, time.Minute)
	dir := t.TempDir()
	ok(t, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
	t.Cleanup(func() { ok(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	pod := runPod(t, stage.CRI(), "propagation", func(c *runtimeapi.PodSandboxConfig) { c.Linux.SecurityContext.Privileged = true })
	bidirectional := &runtimeapi.Mount{HostPath: dir, ContainerPath: "/csi", Propagation: runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL}
	ok(t, unix.Mount("", dir, "", unix.MS_PRIVATE, ""))
	_, err := pod.Create(ctx, "not-shared", mounts(bidirectional))
	says(t, err, "mounts[0].propagation", dir, "not shared")

	ok(t, unix.Mount("", dir, "", unix.MS_SHARED, ""))
	for _, name := range []string{"in", "out"} {
		ok(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	c := need(pod.Run(ctx, "mounter", mounts(bidirectional,
		&runtimeapi.Mount{HostPath: dir, ContainerPath: "/slave", Propagation: runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER},
		&runtimeapi.Mount{HostPath: dir, ContainerPath: "/private"},
	), func(c *runtimeapi.ContainerConfig) {
		c.Linux.SecurityContext = &runtimeapi.LinuxContainerSecurityContext{Privileged: true}
	}))(t)
	need(c.Output(ctx, "mount -t tmpfs inner /csi/out && echo hello >/csi/out/file"))(t)
	if text, err := os.ReadFile(filepath.Join(dir, "out", "file")); err != nil || string(text) != "hello\n" {
		t.Errorf("the host sees %q, %v", text, err)
	}
	ok(t, unix.Mount("outer", filepath.Join(dir, "in"), "tmpfs", 0, ""))
	ok(t, os.WriteFile(filepath.Join(dir, "in", "file"), nil, 0o644))
	if out := need(c.Output(ctx, "cd /; ls */in/file; umount /csi/out"))(t); out != "csi/in/file\nslave/in/file\n" {
		t.Errorf("containers see %q", out)
	}
	ok(t, c.Remove(ctx))
	if err := unix.Unmount(filepath.Join(dir, "out"), 0); !errors.Is(err, unix.EINVAL) {
		t.Errorf("what the container unmounted is still there: %v", err)
	}
}

// TestMappedMounts: in a pod with a user namespace, files have the owners that
// they have on the host, in binds and in images.
func TestMappedMounts(t *testing.T) {
	ctx, group := limit(t, 2*time.Minute), ownGroup(t)
	need(group.Pull(ctx, harness.Volume))(t)
	ids := []*runtimeapi.IDMapping{{HostId: 3 << 20, Length: 65536}}
	pod, before := settled(t, group, "mapped", func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{
			Mode: runtimeapi.NamespaceMode_POD, Uids: ids, Gids: ids,
		}
	})
	dir := t.TempDir()
	ok(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o640))
	ok(t, os.Chown(filepath.Join(dir, "file"), 1000, 2000))
	ok(t, os.Chown(dir, 1000, 2000))
	all := []*runtimeapi.Mount{
		{HostPath: dir, ContainerPath: "/bind"},
		imageMount(harness.Volume, "", "/volume"), imageMount(harness.Busybox, "", "/busybox"), imageMount(harness.Volume, "inside", "/sub"),
	}
	for _, m := range all {
		m.UidMappings, m.GidMappings = ids, ids
	}
	c := need(pod.Run(ctx, "mapped", mounts(all...), inNamespaceOf(pod)))(t)
	want := "1000:2000\n0:0\n0:0\n0:0\n"
	if out := need(c.Output(ctx, "stat -c %u:%g /bind/file /volume/data /busybox/bin /sub/file"))(t); out != want {
		t.Errorf("the container sees owners %q, want %q", out, want)
	}
	need(c.Output(ctx, "touch /bind/new"))(t)
	var made unix.Stat_t
	ok(t, unix.Stat(filepath.Join(dir, "new"), &made))
	if made.Uid != 0 || made.Gid != 0 {
		t.Errorf("what root of the pod made is %d:%d's on the host, want 0:0", made.Uid, made.Gid)
	}
	ok(t, c.Remove(ctx))
	ok(t, group.AwaitNoResidue(limit(t, 20*time.Second), before))
	other := []*runtimeapi.IDMapping{{HostId: 5 << 20, Length: 65536}}
	_, err := pod.Create(ctx, "other", inNamespaceOf(pod), mounts(&runtimeapi.Mount{HostPath: dir, ContainerPath: "/x", UidMappings: other, GidMappings: other}))
	says(t, err, "mounts[0].uidMappings", fmt.Sprint(5<<20))
}

// TestBadMounts: each is refused with field and value, and nothing of it, or
// of the good one beside it, is left.
func TestBadMounts(t *testing.T) {
	pod, before := settled(t, stage.Group, "bad-mounts")
	dir := t.TempDir()
	ok(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	missing := filepath.Join(dir, "missing")
	overlapping := []*runtimeapi.IDMapping{{HostId: 1000, Length: 10}, {HostId: 1009, ContainerId: 10, Length: 1}}
	for name, test := range map[string]struct {
		mount *runtimeapi.Mount
		says  string
	}{
		"loop":             {&runtimeapi.Mount{HostPath: dir + "/loop", ContainerPath: "/x"}, `mounts[1].host_path "` + dir + "/loop"},
		"overlapping ids":  {&runtimeapi.Mount{HostPath: missing, ContainerPath: "/x", UidMappings: overlapping, GidMappings: overlapping}, "mounts[1].uidMappings[1].host_id 1009"},
		"unknown option":   {&runtimeapi.Mount{HostPath: missing, ContainerPath: "/x", MountOptions: []string{"suid"}}, `mounts[1].mount_options[0] "suid"`},
		"writable rro":     {&runtimeapi.Mount{HostPath: missing, ContainerPath: "/x", RecursiveReadOnly: true}, "mounts[1].recursive_read_only true"},
		"propagation":      {&runtimeapi.Mount{HostPath: missing, ContainerPath: "/x", Propagation: 5}, "mounts[1].propagation 5"},
		"root":             {&runtimeapi.Mount{HostPath: missing, ContainerPath: "/x/.."}, `mounts[1].container_path "/x/.."`},
		"image and path":   {withSource(imageMount(harness.Busybox, "", "/x"), missing), `mounts[1].host_path "` + missing},
		"nothing to mount": {&runtimeapi.Mount{ContainerPath: "/x"}, `mounts[1].host_path ""`},
	} {
		_, err := pod.Create(limit(t, time.Minute), "bad", mounts(imageMount(harness.Busybox, "", "/good"), test.mount))
		says(t, err, test.says)
		if status.Code(errors.Unwrap(err)) != codes.InvalidArgument {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := os.Lstat(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the missing directory: %v", err)
	}
	ok(t, stage.Group.AwaitNoResidue(limit(t, 20*time.Second), before))
}

func withSource(m *runtimeapi.Mount, path string) *runtimeapi.Mount {
	m.HostPath = path
	return m
}
