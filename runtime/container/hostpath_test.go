package container_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
)

// TestAbsentSourcesAreRejected: those that are listed are not made.
func TestAbsentSourcesAreRejected(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := newNode(t, func(d *container.Deps) {
		d.Config.AbsentMountSources = []string{dir + "/absent", dir + "//there/"}
	})
	if err := os.Mkdir(dir+"/there", 0o700); err != nil {
		t.Fatal(err)
	}
	create := func(name, source string) error {
		cfg := containertest.Config(name)
		cfg.Mounts = []*runtimeapi.Mount{{HostPath: source, ContainerPath: "/x"}}
		_, err := n.Process.Containers.Create(t.Context(), n.pod, cfg)
		return err
	}
	for _, source := range []string{dir + "/absent", dir + "/there/../absent/"} {
		err := create("server", source)
		if !errors.Is(err, errdefs.ErrFailedPrecondition) || !strings.Contains(err.Error(), `mounts[0].host_path "`+source+`"`) ||
			!strings.Contains(err.Error(), "runtime.absent_mount_sources_to_reject") {
			t.Errorf("%s: got %v", source, err)
		}
	}
	if _, err := os.Lstat(dir + "/absent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was made: %v", err)
	}
	if err := create("server", dir+"/there"); err != nil {
		t.Errorf("what is there is refused: %v", err)
	}
	if err := os.Remove(dir + "/there"); err != nil {
		t.Fatal(err)
	}
	if err := create("other", dir+"/there"); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("what is there no more: %v", err)
	}
}

// TestBindMountPrefix: all is looked for, and made, below it, and no link leads
// out of it.
func TestBindMountPrefix(t *testing.T) {
	t.Parallel()
	prefix, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.MkdirAll(prefix+"/var/data", 0o700), os.WriteFile(prefix+"/file", nil, 0o600),
		os.Symlink("/var", prefix+"/absolute"), os.Symlink("../../../var/data", prefix+"/relative"),
		os.Symlink("loop", prefix+"/loop"),
	); err != nil {
		t.Fatal(err)
	}
	n := newNode(t, func(d *container.Deps) {
		d.Config.BindMountPrefix, d.Config.AbsentMountSources = prefix, []string{"/etc/hostname"}
	})
	for source, want := range map[string]string{
		"/var/data": "/var/data", "/absolute/data": "/var/data", "/relative": "/var/data", "/file": "/file",
		"/new/deep": "/new/deep", "/absolute/made": "/var/made", "/../../var": "/var",
	} {
		c := n.create(t, strings.ReplaceAll("at-"+source, "/", "-"), func(cfg *runtimeapi.ContainerConfig) {
			cfg.Mounts = []*runtimeapi.Mount{{HostPath: source, ContainerPath: "/x"}}
		})
		record, _ := n.World.Containers.Get(c.ID)
		m := record.Spec.Mounts[slices.IndexFunc(record.Spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/x" })]
		if m.Source != prefix+want {
			t.Errorf("%s: the source is %s, want %s below the prefix", source, m.Source, want)
		}
		if _, err := os.Stat(prefix + want); err != nil {
			t.Error(err)
		}
		if got := c.Mounts()[0].GetHostPath(); got != source {
			t.Errorf("the client hears of %s, and asked for %s", got, source)
		}
	}
	for source, kind := range map[string]error{
		"/loop": errdefs.ErrInvalidArgument, "/file/below": errdefs.ErrInvalidArgument, "/etc/hostname": errdefs.ErrFailedPrecondition,
	} {
		cfg := containertest.Config("bad")
		cfg.Mounts = []*runtimeapi.Mount{{HostPath: source, ContainerPath: "/x"}}
		_, err := n.Process.Containers.Create(t.Context(), n.pod, cfg)
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), `mounts[0].host_path "`+source+`"`) {
			t.Errorf("%s: got %v, want %v", source, err, kind)
		}
	}
}
