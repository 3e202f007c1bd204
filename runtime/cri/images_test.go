package cri_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/cri"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/image/imagetest"
)

const appImage = "registry.example/app:1"

// newImages returns the handlers of a service that runs on a fake.
func newImages(t *testing.T) (*cri.Images, *imagetest.Store, imagetest.Content) {
	t.Helper()
	content := imagetest.NewContent("app")
	content.Config.Config.User = "www-data:www-data"
	content.Manifest.Annotations = map[string]string{"org.example/key": "value"}
	store := imagetest.NewStore()
	store.Serve(appImage, content)
	cfg := config.Default().Image
	cfg.ConfigPath = ""
	service, err := image.New(store, cfg, []string{"native"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return cri.NewImages(service, map[string]config.Handler{
		"runc": {}, "vm": {Snapshotter: "native"},
	}), store, content
}

func spec(ref string) *runtimeapi.ImageSpec { return &runtimeapi.ImageSpec{Image: ref} }

func TestImages(t *testing.T) {
	t.Parallel()
	images, _, content := newImages(t)
	ctx := t.Context()
	absent, err := images.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: spec(appImage)})
	if err != nil || absent.GetImage() != nil {
		t.Errorf("status of an image that is not here: %v, %v", absent, err)
	}
	pulled, err := images.PullImage(ctx, &runtimeapi.PullImageRequest{Image: spec(appImage)})
	if err != nil || pulled.GetImageRef() != content.ID() {
		t.Fatalf("pulled %v, %v", pulled, err)
	}
	status, err := images.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{
		Image:   &runtimeapi.ImageSpec{Image: appImage, UserSpecifiedImage: "app", RuntimeHandler: "runc"},
		Verbose: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	got := status.GetImage()
	if got.GetId() != content.ID() || got.GetUsername() != "www-data" || got.GetUid() != nil || got.GetSize() != 3700 || got.GetPinned() {
		t.Errorf("status: %v", got)
	}
	if len(got.GetRepoTags()) != 1 || got.GetRepoTags()[0] != appImage || len(got.GetRepoDigests()) != 1 {
		t.Errorf("names: %v %v", got.GetRepoTags(), got.GetRepoDigests())
	}
	if s := got.GetSpec(); s.GetUserSpecifiedImage() != "app" || s.GetRuntimeHandler() != "runc" || s.GetImage() != appImage ||
		s.GetAnnotations()["org.example/key"] != "value" {
		t.Errorf("spec: %v", s)
	}
	var info struct {
		ChainID   string `json:"chainID"`
		ImageSpec struct {
			Config struct{ User string } `json:"config"`
		} `json:"imageSpec"`
	}
	if err := json.Unmarshal([]byte(status.GetInfo()["info"]), &info); err != nil || info.ChainID != content.ChainID() || info.ImageSpec.Config.User == "" {
		t.Errorf("info: %v, %v", status.GetInfo(), err)
	}
	for filter, want := range map[string]int{"": 1, "registry.example/app": 1, appImage: 1, "registry.example/other": 0} {
		list, err := images.ListImages(ctx, &runtimeapi.ListImagesRequest{Filter: &runtimeapi.ImageFilter{Image: spec(filter)}})
		if err != nil || len(list.GetImages()) != want {
			t.Errorf("%q lists %v, %v", filter, list, err)
		}
	}
	for range 2 {
		if _, err := images.RemoveImage(ctx, &runtimeapi.RemoveImageRequest{Image: spec(appImage)}); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
	list, err := images.ListImages(ctx, &runtimeapi.ListImagesRequest{})
	if err != nil || len(list.GetImages()) != 0 {
		t.Errorf("after removal: %v, %v", list, err)
	}
}

func TestPullForRuntimeHandler(t *testing.T) {
	t.Parallel()
	images, store, _ := newImages(t)
	for handler, want := range map[string]string{"": "overlayfs", "runc": "overlayfs", "vm": "native"} {
		_, err := images.PullImage(t.Context(), &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: appImage, RuntimeHandler: handler}})
		if err != nil {
			t.Fatal(err)
		}
		all := store.Transfers()
		if got := all[len(all)-1].Snapshotter; got != want {
			t.Errorf("handler %q unpacks in %q", handler, got)
		}
	}
	_, err := images.PullImage(t.Context(), &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: appImage, RuntimeHandler: "none"}})
	if !errdefs.IsInvalidArgument(err) {
		t.Errorf("unknown handler: %v", err)
	}
}

func TestImagesWithoutReference(t *testing.T) {
	t.Parallel()
	images, _, _ := newImages(t)
	_, pull := images.PullImage(t.Context(), &runtimeapi.PullImageRequest{})
	_, status := images.ImageStatus(t.Context(), &runtimeapi.ImageStatusRequest{})
	_, remove := images.RemoveImage(t.Context(), &runtimeapi.RemoveImageRequest{})
	for name, err := range map[string]error{"pull": pull, "status": status, "remove": remove} {
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestImageFsInfo(t *testing.T) {
	t.Parallel()
	images, _, _ := newImages(t)
	info, err := images.ImageFsInfo(t.Context(), &runtimeapi.ImageFsInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(info.GetImageFilesystems()) != 2 || len(info.GetContainerFilesystems()) != 2 {
		t.Fatalf("info: %v", info)
	}
	first := info.GetImageFilesystems()[0]
	if first.GetFsId().GetMountpoint() != "/var/lib/fake/overlayfs" || first.GetTimestamp() <= 0 || first.GetUsedBytes() == nil || first.GetInodesUsed() == nil {
		t.Errorf("first: %v", first)
	}
	if got := info.GetContainerFilesystems()[0].GetFsId().GetMountpoint(); got != first.GetFsId().GetMountpoint() {
		t.Errorf("containers are on %q", got)
	}
}
