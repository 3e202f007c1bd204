package image_test

import (
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
