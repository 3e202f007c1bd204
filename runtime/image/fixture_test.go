package image_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/image/imagetest"
)

// newService returns a service on the store, loaded, with edits of its
// configuration.
func newService(t *testing.T, store *imagetest.Store, edits ...func(*config.Image)) *image.Service {
	t.Helper()
	cfg := config.Default().Image
	cfg.ConfigPath = ""
	for _, edit := range edits {
		edit(&cfg)
	}
	service, err := image.New(store, cfg, []string{"native"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return service
}

// start runs a service; the returned function ends it and waits.
func start(t *testing.T, service *image.Service) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	}
}

func resolve(t *testing.T, service *image.Service, ref string) image.Image {
	t.Helper()
	found, err := service.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
