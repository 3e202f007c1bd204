package image_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/image/imagetest"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	app, tool := imagetest.NewContent("app"), imagetest.NewContent("tool")
	app.Config.Config.User = "1000:staff"
	store := imagetest.NewStore()
	sum := app.Target.Digest.String()
	store.Import("docker.io/library/app:1", app)
	store.Import("docker.io/library/app@"+sum, app)
	store.Import("quay.io/copy/app:stable", app)
	store.Import(app.ID(), app) // as containerd's CRI plugin names it
	store.Import("tool:2", tool)
	// Looks like an id, were it not for the repository.
	decoy := strings.Repeat("12", 32)
	store.Import("docker.io/library/sha256:"+decoy, tool)
	service := newService(t, store)
	digits := strings.TrimPrefix(app.ID(), "sha256:")
	for ref, want := range map[string]imagetest.Content{
		"app:1":                     app,
		"docker.io/library/app:1":   app,
		"index.docker.io/app:1":     app,
		"app@" + sum:                app,
		"app:9@" + sum:              app,
		"quay.io/copy/app:stable":   app,
		app.ID():                    app,
		digits:                      app,
		digits[:13]:                 app,
		"sha256:" + digits[:7]:      app,
		"tool:2":                    tool,
		"docker.io/library/tool:2":  tool,
		"docker.io/library/tool:2@": {},
		"app":                       {},
		"app:2":                     {},
		"quay.io/copy/app@" + sum:   {},
		digits[:6]:                  {},
		digits + "0":                {},
		"sha256:" + digits[:6]:      {},
		sum:                         {},
		"sha256:" + decoy:           {},
		"Not A Name":                {},
	} {
		found, err := service.Resolve(t.Context(), ref)
		if want.Target.Digest == "" {
			if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), ref) {
				t.Errorf("%q: %s, %v", ref, found.ID, err)
			}
		} else if err != nil || found.ID != want.ID() {
			t.Errorf("%q: %s, %v", ref, found.ID, err)
		}
	}
	if _, err := service.Resolve(t.Context(), ""); !errdefs.IsInvalidArgument(err) {
		t.Errorf("empty reference: %v", err)
	}
	found := resolve(t, service, "app:1")
	if !slices.Equal(found.Tags, []string{"docker.io/library/app:1", "quay.io/copy/app:stable"}) ||
		!slices.Equal(found.Digests, []string{"docker.io/library/app@" + sum}) || len(found.Names()) != 4 {
		t.Errorf("names are %v, tags %v, digests %v", found.Names(), found.Tags, found.Digests)
	}
	if found.UID == nil || *found.UID != 1000 || found.Username != "" || found.Size != 3700 || found.ChainID != app.ChainID() {
		t.Errorf("image is %+v", found)
	}
}

func TestResolveAmbiguousID(t *testing.T) {
	t.Parallel()
	store := imagetest.NewStore()
	for _, last := range []string{"1", "2"} {
		c := imagetest.NewContent(last)
		c.Manifest.Config.Digest = digest.Digest("sha256:" + strings.Repeat("ab", 31) + "c" + last)
		store.Import("example.com/app:"+last, c)
	}
	service := newService(t, store)
	if _, err := service.Resolve(t.Context(), strings.Repeat("ab", 10)); !errdefs.IsInvalidArgument(err) {
		t.Errorf("ambiguous: %v", err)
	}
	if got := resolve(t, service, strings.Repeat("ab", 31)+"c2"); got.Tags[0] != "example.com/app:2" {
		t.Errorf("whole id: %v", got.Tags)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	store := imagetest.NewStore()
	for _, name := range []string{"quay.io/team/app:1", "quay.io/team/app:2", "docker.io/library/app:1"} {
		store.Import(name, imagetest.NewContent(name))
	}
	service := newService(t, store)
	for filter, want := range map[string][]string{
		"":                   {"docker.io/library/app:1", "quay.io/team/app:1", "quay.io/team/app:2"},
		"quay.io/team/app":   {"quay.io/team/app:1", "quay.io/team/app:2"},
		"quay.io/team/app:2": {"quay.io/team/app:2"},
		"app":                {"docker.io/library/app:1"},
		"quay.io/team":       nil,
		"%":                  nil,
	} {
		var got []string
		for _, one := range service.List(filter) {
			got = append(got, one.DisplayName())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q lists %v, want %v", filter, got, want)
		}
	}
}

func TestPinned(t *testing.T) {
	t.Parallel()
	store := imagetest.NewStore()
	byID := imagetest.NewContent("by id")
	store.Import("docker.io/library/tool:1", imagetest.NewContent("tool"))
	store.Import("example.com/pause:3", imagetest.NewContent("pause"))
	store.Import("example.com/id:1", byID)
	store.Import("example.com/free:1", imagetest.NewContent("free"))
	labelled := imagetest.NewContent("labelled")
	store.Import("example.com/labelled:1", labelled)
	name := engine.ImageName{Name: "example.com/labelled:2", Target: labelled.Target, Labels: map[string]string{"io.cri-containerd.pinned": "pinned"}}
	if err := store.PutImageName(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	service := newService(t, store, func(c *config.Image) {
		c.PauseImage = "example.com/pause:3"
		c.PinnedImages = []string{"tool:1", byID.ID(), "example.com/absent:1"}
	})
	for ref, want := range map[string]bool{
		"tool:1": true, "example.com/pause:3": true, "example.com/id:1": true,
		"example.com/labelled:1": true, "example.com/free:1": false,
	} {
		if got := resolve(t, service, ref).Pinned; got != want {
			t.Errorf("%s: pinned is %v", ref, got)
		}
	}
	cfg := config.Default().Image
	cfg.PinnedImages = []string{"Not A Name"}
	if _, err := image.New(store, cfg, nil, slog.New(slog.DiscardHandler)); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a pinned image that is no reference: %v", err)
	}
}
