package podfiles_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/runtime/podfiles"
)

func TestShmSize(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t, machine(t))
	for asked, want := range map[int64]int64{0: 64 << 20, 1 << 20: 1 << 20} {
		files, err := store.Create(t.Context(), ident.New(), &runtimeapi.PodSandboxConfig{}, podfiles.Request{ShmSize: asked})
		if err != nil {
			t.Fatal(err)
		}
		var stat unix.Statfs_t
		if err := unix.Statfs(files.Shm, &stat); err != nil {
			t.Fatal(err)
		}
		if got := int64(stat.Blocks) * stat.Bsize; got != want {
			t.Errorf("asked for %d: %d bytes", asked, got)
		}
	}
}

// logPod is a pod with a log, and a volume to show it on.
func logPod(t *testing.T) (pod *runtimeapi.PodSandboxConfig, volume string) {
	t.Helper()
	dir, volume := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "web.log"), []byte("said\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &runtimeapi.PodSandboxConfig{LogDirectory: dir}, volume
}

func TestLogs(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t, machine(t))
	pod, volume := logPod(t)
	// A volume in memory is a mount of the kubelet's.
	if err := unix.Mount("v", volume, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(volume, unix.MNT_DETACH) })
	id := ident.New()
	files, err := store.Create(t.Context(), id, pod, podfiles.Request{LogVolume: volume})
	if err != nil {
		t.Fatal(err)
	}
	if got := store.Paths(id).Logs; files.Logs != volume || got != volume {
		t.Errorf("logs are at %q, later %q", files.Logs, got)
	}
	if text, err := os.ReadFile(filepath.Join(volume, "web.log")); err != nil || string(text) != "said\n" {
		t.Errorf("the volume says %q, %v", text, err)
	}
	if err := os.Remove(filepath.Join(volume, "web.log")); !errors.Is(err, unix.EROFS) {
		t.Errorf("remove a log: %v", err)
	}
	// As after a crash: a note, and two mounts on the volume.
	other := ident.New()
	if _, err := store.Create(t.Context(), other, pod, podfiles.Request{LogVolume: volume}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, id := range []string{id, other} {
			if err := store.Remove(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
	}
	if entries, err := os.ReadDir(volume); err != nil || len(entries) > 0 {
		t.Errorf("the volume has %v, %v", entries, err)
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(volume, &stat); err != nil || stat.Type != unix.TMPFS_MAGIC {
		t.Errorf("the kubelet's own mount is gone: type %x, %v", stat.Type, err)
	}
}

func TestLogsThatCannotBeShown(t *testing.T) {
	t.Parallel()
	store, dir := newStore(t, machine(t))
	pod, volume := logPod(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(volume, link); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		logs, volume string
		want         error
	}{
		"no log directory":   {"", volume, errdefs.ErrInvalidArgument},
		"relative directory": {"logs", volume, errdefs.ErrInvalidArgument},
		"missing directory":  {pod.GetLogDirectory() + "/none", volume, errdefs.ErrFailedPrecondition},
		"missing volume":     {pod.GetLogDirectory(), volume + "/none", errdefs.ErrFailedPrecondition},
		"volume is a link":   {pod.GetLogDirectory(), link, errdefs.ErrFailedPrecondition},
		"volume is a file":   {pod.GetLogDirectory(), pod.GetLogDirectory() + "/web.log", errdefs.ErrFailedPrecondition},
	} {
		_, err := store.Create(t.Context(), ident.New(), &runtimeapi.PodSandboxConfig{LogDirectory: c.logs}, podfiles.Request{LogVolume: c.volume})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		wantNothing(t, dir)
	}
}
