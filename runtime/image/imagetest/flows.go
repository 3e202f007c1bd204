package imagetest

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/image"
)

// Flows tests the image service on the store. It leaves the store without
// images.
func Flows(t *testing.T, s Subject) {
	cfg := config.Default().Image
	cfg.Snapshotter = s.Snapshotter
	cfg.ConfigPath = "/nonexistent:" + s.HostDir
	cfg.PinnedImages = []string{s.Other}
	service, err := image.New(s.Store, cfg, []string{s.Second}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, service)
	t.Run("pull and remove", func(t *testing.T) { s.pullsAndRemoves(t, service) })
	t.Run("limited downloads", func(t *testing.T) { s.limits(t, cfg) })
	t.Run("second snapshotter", func(t *testing.T) { s.pullsForSecond(t, service) })
	t.Run("changes by others", func(t *testing.T) { s.follows(t, service) })
	t.Run("errors", func(t *testing.T) { s.fails(t, service) })
}

func pull(t *testing.T, service *image.Service, ref, snapshotter string) image.Image {
	t.Helper()
	pulled, err := service.Pull(t.Context(), ref, nil, nil, snapshotter)
	if err != nil {
		t.Fatal(err)
	}
	return pulled
}

func (s Subject) pullsAndRemoves(t *testing.T, service *image.Service) {
	pulled := pull(t, service, s.Ref, "")
	if len(pulled.Tags) != 1 || pulled.Tags[0] != s.Ref || len(pulled.Digests) != 1 || pulled.Size == 0 {
		t.Fatalf("pulled %+v", pulled)
	}
	digits := strings.TrimPrefix(pulled.ID, "sha256:")
	for _, ref := range []string{s.Ref, pulled.Digests[0], pulled.ID, digits, digits[:13], s.Ref + "@" + strings.SplitN(pulled.Digests[0], "@", 2)[1]} {
		found, err := service.Resolve(t.Context(), ref)
		if err != nil || found.ID != pulled.ID {
			t.Errorf("%q is %s, %v; want %s", ref, found.ID, err, pulled.ID)
		}
	}
	again := pull(t, service, pulled.Digests[0], "")
	if again.ID != pulled.ID {
		t.Errorf("by digest it is %s, by tag %s", again.ID, pulled.ID)
	}
	other := pull(t, service, s.Other, "")
	if !other.Pinned || pulled.Pinned {
		t.Errorf("pinned: %v %v", other.Pinned, pulled.Pinned)
	}
	if got := len(service.List("")); got != 2 {
		t.Errorf("listed %d images", got)
	}
	await(t, "usage", func() bool {
		systems, err := service.FsInfo(t.Context())
		return err == nil && len(systems) == 2 && systems[0].Snapshotter == s.Snapshotter && systems[0].Mountpoint != ""
	})
	for _, ref := range []string{pulled.ID, s.Other, s.Ref, s.Missing} {
		if err := service.Remove(t.Context(), ref); err != nil {
			t.Error(err)
		}
	}
	names, err := s.Store.ListImageNames(t.Context())
	if err != nil || len(names) != 0 || len(service.List("")) != 0 {
		t.Errorf("after all were removed: %v, %v, %v", names, service.List(""), err)
	}
	if s.unpacked(t, pulled.ChainID, s.Snapshotter) {
		t.Error("the layers of a removed image are still there")
	}
}

// limits pulls with a limit of downloads, which takes another way.
func (s Subject) limits(t *testing.T, cfg config.Image) {
	cfg.MaxConcurrentDownload = 1
	service, err := image.New(s.Store, cfg, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	run(t, service)
	for _, snapshotter := range []string{s.Snapshotter, s.Second} {
		pulled := pull(t, service, s.Ref, snapshotter)
		if !s.unpacked(t, pulled.ChainID, snapshotter) {
			t.Errorf("not unpacked in %s", snapshotter)
		}
	}
	if _, err := service.Pull(t.Context(), s.Missing, nil, nil, ""); !errdefs.IsNotFound(err) {
		t.Errorf("an image that does not exist: %v", err)
	}
	if err := service.Remove(t.Context(), s.Ref); err != nil {
		t.Error(err)
	}
}

func (s Subject) pullsForSecond(t *testing.T, service *image.Service) {
	for range 2 {
		pulled := pull(t, service, s.Ref, s.Second)
		if !s.unpacked(t, pulled.ChainID, s.Second) {
			t.Errorf("not unpacked in %s", s.Second)
		}
	}
	image := pull(t, service, s.Ref, s.Snapshotter)
	if err := service.EnsureUnpacked(t.Context(), image, ""); err != nil {
		t.Error(err)
	}
	if !s.unpacked(t, image.ChainID, s.Snapshotter) {
		t.Errorf("not unpacked in %s", s.Snapshotter)
	}
}

func (s Subject) follows(t *testing.T, service *image.Service) {
	pulled := pull(t, service, s.Ref, "")
	name, err := s.Store.GetImageName(t.Context(), s.Ref)
	if err != nil {
		t.Fatal(err)
	}
	alias := engine.ImageName{Name: "example.com/alias:2", Target: name.Target}
	if err := s.Store.PutImageName(t.Context(), alias); err != nil {
		t.Fatal(err)
	}
	await(t, "a name that another tool made", func() bool {
		found, err := service.Resolve(t.Context(), alias.Name)
		return err == nil && found.ID == pulled.ID
	})
	if err := s.Store.DeleteImageName(t.Context(), alias, false); err != nil {
		t.Fatal(err)
	}
	await(t, "the end of a name that another tool removed", func() bool {
		_, err := service.Resolve(t.Context(), alias.Name)
		return errdefs.IsNotFound(err)
	})
	if err := service.Remove(t.Context(), s.Ref); err != nil {
		t.Error(err)
	}
}

func (s Subject) fails(t *testing.T, service *image.Service) {
	_, err := service.Pull(t.Context(), s.Missing, nil, nil, "")
	if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), s.Missing) {
		t.Errorf("an image that does not exist: %v", err)
	}
	_, err = service.Pull(t.Context(), "Not/a/Reference", nil, nil, "")
	if !errdefs.IsInvalidArgument(err) {
		t.Errorf("a malformed reference: %v", err)
	}
	if _, err := service.Resolve(t.Context(), s.Missing); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), s.Missing) {
		t.Errorf("an image that is not here: %v", err)
	}
}
