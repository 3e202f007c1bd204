package image_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/runtime/image/imagetest"
)

func TestQuarantine(t *testing.T) {
	t.Parallel()
	store := imagetest.NewStore()
	good, bad, artifact, partial := imagetest.NewContent("good"), imagetest.NewContent("bad"), imagetest.NewContent("artifact"), imagetest.NewContent("partial")
	artifact.Manifest.Config.MediaType = "application/vnd.oci.empty.v1+json"
	store.Import("example.com/good:1", good)
	store.Import("example.com/bad:1", bad)
	store.Import("example.com/artifact:1", artifact)
	store.Import("example.com/partial:1", partial)
	store.Damage(bad.Target.Digest, errors.New("disk read error"))
	store.Lose(partial.Manifest.Layers[1].Digest)
	service := newService(t, store)
	if got := service.List(""); len(got) != 1 || got[0].ID != good.ID() {
		t.Errorf("listed %v", got)
	}
	quarantine := service.Quarantine()
	for _, name := range []string{"example.com/bad:1", "example.com/artifact:1", "example.com/partial:1"} {
		if quarantine[name] == nil {
			t.Errorf("%s is not quarantined: %v", name, quarantine)
		}
		if _, err := service.Resolve(t.Context(), name); !errdefs.IsNotFound(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := service.Remove(t.Context(), "example.com/artifact:1"); err != nil {
		t.Error(err)
	}
	if service.Quarantine()["example.com/artifact:1"] != nil || len(store.Names()) != 3 {
		t.Errorf("a quarantined name cannot be removed: %v", store.Names())
	}
	// Unpacked layers need not be there packed.
	store.Damage(bad.Target.Digest, nil)
	store.Prepare("native", partial.ChainID())
	if err := service.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := service.List(""); len(got) != 3 || len(service.Quarantine()) != 0 {
		t.Errorf("after the repair: %v, %v", got, service.Quarantine())
	}
}

// Each image is read once, however many names it has and however often it is
// listed.
func TestReadsOnce(t *testing.T) {
	t.Parallel()
	store := imagetest.NewStore()
	for n := range 20 {
		store.Import(fmt.Sprintf("example.com/app:%d", n), imagetest.NewContent(fmt.Sprint(n)))
	}
	service := newService(t, store)
	for n := range 20 {
		store.Import(fmt.Sprintf("example.com/copy:%d", n), imagetest.NewContent(fmt.Sprint(n)))
	}
	for range 3 {
		if err := service.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := store.Reads(); got != 20 || len(service.List("")) != 20 {
		t.Errorf("read %d manifests for %d images", got, len(service.List("")))
	}
}

func TestFollowsEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := imagetest.NewStore()
		service := newService(t, store)
		defer start(t, service)()
		synctest.Wait()
		store.Import("example.com/app:1", imagetest.NewContent("app"))
		synctest.Wait()
		if got := resolve(t, service, "example.com/app:1"); got.ID != imagetest.NewContent("app").ID() {
			t.Errorf("image is %s", got.ID)
		}
		store.Import("example.com/app:1", imagetest.NewContent("app, later"))
		synctest.Wait()
		if got := resolve(t, service, "example.com/app:1"); got.ID != imagetest.NewContent("app, later").ID() {
			t.Errorf("after the tag moved, image is %s", got.ID)
		}
		store.Break() // what happens until the next subscription is found too
		store.Import("example.com/app:2", imagetest.NewContent("app, later"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		resolve(t, service, "example.com/app:2")
		store.Import("example.com/app:3", imagetest.NewContent("app, later"))
		synctest.Wait()
		resolve(t, service, "example.com/app:3")
	})
}
