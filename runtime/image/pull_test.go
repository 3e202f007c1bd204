package image_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/image/imagetest"
)

const app = "registry.example/app:1"

// registry is a store whose registry has the app; transfers wait until gate
// is closed.
func registry(gate <-chan struct{}) *imagetest.Store {
	store := imagetest.NewStore()
	store.Serve(app, imagetest.NewContent("app"))
	store.OnTransfer = func(ctx context.Context, _ engine.ImageTransfer, _ func(transfer.Progress)) error {
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return store
}

type outcome struct {
	image image.Image
	err   error
}

func pullAsync(ctx context.Context, service *image.Service, ref string, auth *runtimeapi.AuthConfig) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		pulled, err := service.Pull(ctx, ref, auth, nil, "")
		done <- outcome{pulled, err}
	}()
	return done
}

func TestIdenticalPullsJoin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		store := registry(gate)
		service := newService(t, store)
		defer start(t, service)()
		mine := &runtimeapi.AuthConfig{Username: "me", Password: "secret"}
		var same []<-chan outcome
		for range 5 {
			same = append(same, pullAsync(t.Context(), service, app, mine))
		}
		other := pullAsync(t.Context(), service, app, &runtimeapi.AuthConfig{Username: "you", Password: "secret"})
		synctest.Wait()
		if got := len(store.Transfers()); got != 2 {
			t.Errorf("%d transfers for two kinds of callers", got)
		}
		callers := 0
		for _, running := range service.Running() {
			callers += running.Callers
			if running.Ref != app || running.Stage == "" {
				t.Errorf("running is %+v", running)
			}
		}
		if callers != 6 {
			t.Errorf("%d callers", callers)
		}
		close(gate)
		for _, done := range append(same, other) {
			if got := <-done; got.err != nil || got.image.ID != imagetest.NewContent("app").ID() {
				t.Errorf("pulled %s, %v", got.image.ID, got.err)
			}
		}
		if got := service.Running(); len(got) != 0 {
			t.Errorf("still running: %v", got)
		}
	})
}

// A caller who gives up cancels nothing: neither for the others, nor for his
// own retry when nobody else waits.
func TestAbandonedPullGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		store := registry(gate)
		service := newService(t, store)
		defer start(t, service)()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		abandoned := pullAsync(ctx, service, app, nil)
		if got := <-abandoned; !errors.Is(got.err, context.DeadlineExceeded) || !strings.Contains(got.err.Error(), "goes on") {
			t.Errorf("the impatient caller gets %v", got.err)
		}
		retry := pullAsync(t.Context(), service, app, nil)
		synctest.Wait()
		close(gate)
		if got := <-retry; got.err != nil {
			t.Errorf("the retry gets %v", got.err)
		}
		if got := len(store.Transfers()); got != 1 {
			t.Errorf("%d transfers", got)
		}
	})
}

func TestStopEndsPulls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := registry(make(chan struct{}))
		service := newService(t, store)
		stop := start(t, service)
		done := pullAsync(t.Context(), service, app, nil)
		synctest.Wait()
		stop()
		if got := <-done; !errdefs.IsUnavailable(got.err) {
			t.Errorf("a pull at the service's end: %v", got.err)
		}
		if _, err := service.Pull(t.Context(), app, nil, nil, ""); !errdefs.IsUnavailable(err) {
			t.Errorf("a pull after the service's end: %v", err)
		}
		synctest.Wait()
		if got := len(store.Transfers()); got != 1 {
			t.Errorf("%d transfers, the last begun after the service's end", got)
		}
	})
}

// report is one progress report of a layer.
func report(event string, done int64) transfer.Progress {
	return transfer.Progress{Event: event, Name: "layer", Progress: done, Total: 1000, Desc: &ocispec.Descriptor{Size: 1000}}
}

func TestWatchdog(t *testing.T) {
	t.Parallel()
	const timeout = time.Minute
	for name, c := range map[string]struct {
		transfer func(ctx context.Context, progress func(transfer.Progress)) error
		given    time.Duration // when it is given up at the latest; 0 for never
	}{
		"registry that never answers": {func(ctx context.Context, _ func(transfer.Progress)) error {
			<-ctx.Done()
			return ctx.Err()
		}, 75 * time.Second},
		"slow layer": {func(_ context.Context, progress func(transfer.Progress)) error {
			for done := range int64(20) {
				progress(report("downloading", done*50))
				time.Sleep(50 * time.Second)
			}
			return nil
		}, 0},
		"layer that stops": {func(ctx context.Context, progress func(transfer.Progress)) error {
			for range 100 { // the same report again is no progress
				progress(report("downloading", 500))
				if sleep(ctx, 5*time.Second) {
					return ctx.Err()
				}
			}
			return nil
		}, 80 * time.Second},
		"layer that is unpacked slowly": {func(ctx context.Context, progress func(transfer.Progress)) error {
			progress(report("complete", 1000))
			progress(report("extracting", 0))
			sleep(ctx, 5*time.Minute)
			return ctx.Err()
		}, 0},
		"layer whose unpacking stops": {func(ctx context.Context, progress func(transfer.Progress)) error {
			progress(report("extracting", 10))
			<-ctx.Done()
			return ctx.Err()
		}, 7 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := registry(nil)
				store.OnTransfer = func(ctx context.Context, _ engine.ImageTransfer, progress func(transfer.Progress)) error {
					return c.transfer(ctx, progress)
				}
				service := newService(t, store, func(c *config.Image) { c.PullProgressTimeout = config.Duration(timeout) })
				defer start(t, service)()
				begin := time.Now()
				_, err := service.Pull(t.Context(), app, nil, nil, "")
				took := time.Since(begin)
				if c.given == 0 && err != nil {
					t.Errorf("given up after %s: %v", took, err)
				}
				if c.given > 0 && (!errors.Is(err, context.DeadlineExceeded) || took > c.given || took < timeout) {
					t.Errorf("after %s: %v", took, err)
				}
				if c.given > 0 && (!strings.Contains(err.Error(), "no progress") || !strings.Contains(err.Error(), app)) {
					t.Errorf("the error does not say what happened: %v", err)
				}
			})
		})
	}
}

// sleep tells whether ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return true
	case <-time.After(d):
		return false
	}
}

// A pull whose layers wait for their turn is not blamed while others move; one
// whose own download stands still is.
func TestWatchdogBesideOtherPulls(t *testing.T) {
	t.Parallel()
	const busy = 15 * time.Minute // how long the other pull moves
	for name, c := range map[string]struct {
		event    string
		from, to time.Duration // when it is given up
	}{
		"waits for its turn": {"waiting", busy, busy + 2*time.Minute},
		"stands still":       {"downloading", time.Minute, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const second = "registry.example/second:1"
				store := registry(nil)
				store.OnTransfer = func(ctx context.Context, order engine.ImageTransfer, progress func(transfer.Progress)) error {
					if order.Ref == second {
						progress(report(c.event, 0))
						<-ctx.Done()
						return ctx.Err()
					}
					for done := range int64(busy / (30 * time.Second)) {
						progress(report("downloading", done))
						time.Sleep(30 * time.Second)
					}
					return nil
				}
				service := newService(t, store, func(c *config.Image) { c.PullProgressTimeout = config.Duration(time.Minute) })
				defer start(t, service)()
				begin := time.Now()
				moving := pullAsync(t.Context(), service, app, nil)
				_, err := service.Pull(t.Context(), second, nil, nil, "")
				if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took < c.from || took > c.to {
					t.Errorf("after %s: %v", took, err)
				}
				if got := <-moving; got.err != nil {
					t.Errorf("the pull that moves: %v", got.err)
				}
			})
		})
	}
}

func TestPullOrder(t *testing.T) {
	t.Parallel()
	open := make(chan struct{})
	close(open)
	store := registry(open)
	store.FetchOnly = []string{"native"}
	service := newService(t, store, func(c *config.Image) { c.MaxConcurrentDownload = 7 })
	auth := &runtimeapi.AuthConfig{RegistryToken: "token"}
	if _, err := service.Pull(t.Context(), app, auth, nil, ""); err != nil {
		t.Fatal(err)
	}
	order := store.Transfers()[0]
	if order.Ref != app || order.Snapshotter != "overlayfs" || order.MaxDownloads != 7 ||
		order.Header.Get("Authorization") != "Bearer token" || order.Labels["io.cri-containerd.image"] != "managed" {
		t.Errorf("order is %+v", order)
	}
	for range 2 {
		pulled, err := service.Pull(t.Context(), app, nil, nil, "native")
		if err != nil {
			t.Fatal(err)
		}
		if unpacked, _ := store.ImageUnpacked(t.Context(), pulled.ChainID, "native"); !unpacked {
			t.Error("not unpacked")
		}
	}
	var asked []string
	for _, order := range store.Transfers()[1:] {
		asked = append(asked, order.Snapshotter)
	}
	if !slices.Equal(asked, []string{"native", "", ""}) {
		t.Errorf("asked to unpack in %q", asked)
	}
	for ref, auth := range map[string]*runtimeapi.AuthConfig{
		"":                                     nil,
		"Not A Name":                           nil,
		imagetest.NewContent("app").ID():       nil,
		"registry.example/app:with-bad-secret": {Auth: "?"},
	} {
		if _, err := service.Pull(t.Context(), ref, auth, nil, ""); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", ref, err)
		}
	}
}

// The image that a tag leaves behind stays, by its digest; labels that others
// put on the tag stay too.
func TestTagMoves(t *testing.T) {
	t.Parallel()
	open := make(chan struct{})
	close(open)
	store := registry(open)
	before, after := imagetest.NewContent("app"), imagetest.NewContent("app, later")
	store.Import(app, before)
	if err := store.DeleteImageName(t.Context(), engine.ImageName{Name: app, Target: before.Target}, false); err != nil {
		t.Fatal(err)
	}
	labelled := engine.ImageName{Name: app, Target: before.Target, Labels: map[string]string{"io.cri-containerd.pinned": "pinned"}}
	if err := store.PutImageName(t.Context(), labelled); err != nil {
		t.Fatal(err)
	}
	service := newService(t, store)
	for _, c := range []imagetest.Content{before, after} {
		store.Serve(app, c)
		pulled, err := service.Pull(t.Context(), app, nil, nil, "")
		if err != nil || pulled.ID != c.ID() || !pulled.Pinned {
			t.Fatalf("pulled %s, pinned %v, %v", pulled.ID, pulled.Pinned, err)
		}
	}
	old := resolve(t, service, "registry.example/app@"+before.Target.Digest.String())
	if old.ID != before.ID() || len(old.Tags) != 0 || len(old.Digests) != 1 {
		t.Errorf("the old image is %+v", old)
	}
	if err := service.Remove(t.Context(), old.ID); err != nil {
		t.Fatal(err)
	}
	if got := service.List(""); len(got) != 1 || got[0].ID != after.ID() {
		t.Errorf("listed %v", got)
	}
}

func TestPullOfWhatIsNoImage(t *testing.T) {
	t.Parallel()
	open := make(chan struct{})
	close(open)
	store := registry(open)
	artifact := imagetest.NewContent("artifact")
	artifact.Manifest.Config.MediaType = "application/vnd.oci.empty.v1+json"
	store.Serve(app, artifact)
	service := newService(t, store)
	if _, err := service.Pull(t.Context(), app, nil, nil, ""); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "artifact") {
		t.Errorf("pull of an artifact: %v", err)
	}
}

func TestRemoveSparesTagThatMoved(t *testing.T) {
	t.Parallel()
	store := imagetest.NewStore()
	store.Import(app, imagetest.NewContent("app"))
	service := newService(t, store)
	store.Import(app, imagetest.NewContent("app, later")) // the service does not know yet
	if err := service.Remove(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	if got := resolve(t, service, app); got.ID != imagetest.NewContent("app, later").ID() {
		t.Errorf("the tag means %s", got.ID)
	}
}
