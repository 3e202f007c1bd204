package image_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/runtime/image/imagetest"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		close(open)
		store := registry(open)
		service := newService(t, store)
		begin := time.Now()
		if _, err := service.FsInfo(t.Context()); !errdefs.IsUnavailable(err) || time.Since(begin) > 6*time.Second {
			t.Errorf("before the first measurement, after %s: %v", time.Since(begin), err)
		}
		if got := service.Mountpoint("overlayfs"); got != "" {
			t.Errorf("before the first measurement the mount point is %q", got)
		}
		if _, err := service.Pull(t.Context(), app, nil, nil, ""); err != nil {
			t.Fatal(err)
		}
		store.Prepare("overlayfs", "container")
		defer start(t, service)()
		synctest.Wait()
		systems, err := service.FsInfo(t.Context())
		if err != nil || len(systems) != 2 || systems[0].Snapshotter != "overlayfs" || systems[1].Snapshotter != "native" {
			t.Fatalf("%+v, %v", systems, err)
		}
		if fs := systems[0]; fs.Bytes != 2*4096 || fs.Inodes != 6 || fs.Mountpoint != "/var/lib/fake/overlayfs" || !fs.Time.Equal(time.Now()) {
			t.Errorf("overlayfs: %+v", fs)
		}
		if fs := systems[1]; fs.Bytes != 0 || fs.Time.IsZero() {
			t.Errorf("native: %+v", fs)
		}
		if a, b := service.Mountpoint("native"), service.Mountpoint("zfs"); a != "/var/lib/fake/native" || b != "" {
			t.Errorf("mount points are %q and %q", a, b)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if one, ok := service.SnapshotUsage("overlayfs", "container"); !ok || one.Bytes != 4096 || time.Since(one.Time) > 10*time.Second {
			t.Errorf("the container's usage is %+v, %v", one, ok)
		}
		if _, ok := service.SnapshotUsage("native", "container"); ok {
			t.Error("a snapshot of another snapshotter has a usage")
		}
		chain := imagetest.NewContent("app").ChainID()
		if writable, committed := store.Measured("container"), store.Measured(chain); writable != 4 || committed != 1 {
			t.Errorf("measured the container's snapshot %d times, the image's %d times", writable, committed)
		}
	})
}

// A snapshotter that does not answer keeps its figures, and the others go on.
func TestUsageOfSnapshotterThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var failing atomic.Pointer[string]
		store := imagetest.NewStore()
		store.OnList = func(snapshotter string) error {
			if name := failing.Load(); name != nil && *name == snapshotter {
				return errors.New("no answer")
			}
			return nil
		}
		fail := func(name string) { failing.Store(&name) }
		fail("overlayfs")
		service := newService(t, store)
		defer start(t, service)()
		if _, err := service.FsInfo(t.Context()); !errdefs.IsUnavailable(err) {
			t.Errorf("without the first snapshotter's figures: %v", err)
		}
		inodes := func() (first, second uint64) {
			t.Helper()
			time.Sleep(11 * time.Second)
			synctest.Wait()
			systems, err := service.FsInfo(t.Context())
			if err != nil || len(systems) != 2 {
				t.Fatalf("%v, %v", systems, err)
			}
			return systems[0].Inodes, systems[1].Inodes
		}
		fail("")
		store.Prepare("native", "one")
		if first, second := inodes(); first != 0 || second != 3 {
			t.Errorf("inodes: %d and %d", first, second)
		}
		fail("native")
		store.Prepare("native", "two")
		store.Prepare("overlayfs", "three")
		if first, second := inodes(); first != 3 || second != 3 {
			t.Errorf("while one fails, inodes: %d and %d", first, second)
		}
		fail("")
		if first, second := inodes(); first != 3 || second != 6 {
			t.Errorf("afterwards, inodes: %d and %d", first, second)
		}
	})
}
