package imagetest

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/image"
)

// Subject is a store under test and what is around it. Nothing else may
// change the store meanwhile.
type Subject struct {
	Store       image.Store
	Ref         string // an image that the registry has, normalized, with a tag
	Other       string // another one
	Missing     string // an image that the registry does not have
	HostDir     string // for the registry
	Snapshotter string // for which the transfer service unpacks
	Second      string // for which it does not
}

// Contract tests what the image service relies on. It leaves the store
// without images.
func Contract(t *testing.T, s Subject) {
	t.Run("transfer", s.transfers)
	t.Run("content", s.content)
	t.Run("unpack", s.unpacks)
	t.Run("names", s.changesNames)
	t.Run("watch", s.watches)
	t.Run("snapshots", s.measures)
	t.Run("collect", s.collects)
}

func (s Subject) order(ref, snapshotter string) engine.ImageTransfer {
	return engine.ImageTransfer{
		Ref: ref, Snapshotter: snapshotter, HostDir: s.HostDir,
		Credentials: func(string) (string, string) { return "", "" },
		Labels:      map[string]string{"trivet.test": "yes"},
	}
}

// fetch pulls s.Ref and returns its name.
func (s Subject) fetch(t *testing.T) engine.ImageName {
	t.Helper()
	if err := s.Store.TransferImage(t.Context(), s.order(s.Ref, s.Snapshotter), func(transfer.Progress) {}); err != nil {
		t.Fatalf("transfer: %v", err)
	}
	name, err := s.Store.GetImageName(t.Context(), s.Ref)
	if err != nil {
		t.Fatalf("the pulled image has no name: %v", err)
	}
	return name
}

func (s Subject) transfers(t *testing.T) {
	var mu sync.Mutex
	var reports []transfer.Progress
	err := s.Store.TransferImage(t.Context(), s.order(s.Ref, s.Snapshotter), func(p transfer.Progress) {
		mu.Lock()
		defer mu.Unlock()
		reports = append(reports, p)
	})
	if err != nil {
		t.Fatalf("transfer: %v", err)
	}
	await(t, "progress of a blob", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.ContainsFunc(reports, func(p transfer.Progress) bool { return p.Name != "" && p.Desc != nil && p.Total > 0 })
	})
	name := s.fetch(t) // again: nothing to do
	if name.Labels["trivet.test"] != "yes" {
		t.Errorf("labels are %v", name.Labels)
	}
	err = s.Store.TransferImage(t.Context(), s.order(s.Missing, s.Snapshotter), func(transfer.Progress) {})
	if !errdefs.IsNotFound(err) {
		t.Errorf("transfer of an image that the registry does not have: %v", err)
	}
	err = s.Store.TransferImage(t.Context(), s.order(s.Ref, s.Second), func(transfer.Progress) {})
	if !errdefs.IsNotImplemented(err) {
		t.Errorf("transfer for a snapshotter that is not set up: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Store.TransferImage(ctx, s.order(s.Other, s.Snapshotter), func(transfer.Progress) {}); err == nil && ctx.Err() == nil {
		t.Error("transfer ignores the end of its context")
	}
}

func (s Subject) content(t *testing.T) {
	name := s.fetch(t)
	manifest, err := s.Store.ImageManifest(t.Context(), name.Target)
	if err != nil {
		t.Fatal(err)
	}
	var layers int64
	for _, layer := range manifest.Layers {
		layers += layer.Size
	}
	if len(manifest.Layers) == 0 || manifest.Size <= layers {
		t.Errorf("%d layers have %d bytes, the image has %d", len(manifest.Layers), layers, manifest.Size)
	}
	config, err := s.Store.ImageConfig(t.Context(), manifest.Config)
	if err != nil {
		t.Fatal(err)
	}
	if config.OS != "linux" || len(config.RootFS.DiffIDs) != len(manifest.Layers) {
		t.Errorf("config is for %q with %d layers, the manifest has %d", config.OS, len(config.RootFS.DiffIDs), len(manifest.Layers))
	}
	absent := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("absent"), Size: 10}
	missing, err := s.Store.MissingContent(t.Context(), append(slices.Clone(manifest.Layers), absent))
	if err != nil || len(missing) != 1 || missing[0] != absent.Digest {
		t.Errorf("missing are %v, %v", missing, err)
	}
	if _, err := s.Store.ImageManifest(t.Context(), absent); !errdefs.IsNotFound(err) {
		t.Errorf("manifest that is not here: %v", err)
	}
	if _, err := s.Store.ImageConfig(t.Context(), absent); !errdefs.IsNotFound(err) {
		t.Errorf("config that is not here: %v", err)
	}
}

// chain is the key of the image's last snapshot.
func (s Subject) chain(t *testing.T, name engine.ImageName) string {
	t.Helper()
	manifest, err := s.Store.ImageManifest(t.Context(), name.Target)
	if err != nil {
		t.Fatal(err)
	}
	config, err := s.Store.ImageConfig(t.Context(), manifest.Config)
	if err != nil {
		t.Fatal(err)
	}
	return identity.ChainID(config.RootFS.DiffIDs).String()
}

func (s Subject) unpacked(t *testing.T, chain, snapshotter string) bool {
	t.Helper()
	unpacked, err := s.Store.ImageUnpacked(t.Context(), chain, snapshotter)
	if err != nil {
		t.Fatal(err)
	}
	return unpacked
}

func (s Subject) unpacks(t *testing.T) {
	name := s.fetch(t)
	chain := s.chain(t, name)
	if !s.unpacked(t, chain, s.Snapshotter) {
		t.Errorf("the pulled image is not unpacked in %s", s.Snapshotter)
	}
	if s.unpacked(t, chain, s.Second) {
		t.Errorf("the pulled image is unpacked in %s", s.Second)
	}
	for range 2 {
		if err := s.Store.UnpackImage(t.Context(), name, s.Second); err != nil {
			t.Fatal(err)
		}
	}
	if !s.unpacked(t, chain, s.Second) {
		t.Errorf("the image is not unpacked in %s", s.Second)
	}
	if !s.unpacked(t, "", s.Snapshotter) {
		t.Error("an image without layers counts as not unpacked")
	}
}

func (s Subject) changesNames(t *testing.T) {
	name := s.fetch(t)
	if err := s.Store.TransferImage(t.Context(), s.order(s.Other, s.Snapshotter), func(transfer.Progress) {}); err != nil {
		t.Fatal(err)
	}
	other, err := s.Store.GetImageName(t.Context(), s.Other)
	if err != nil {
		t.Fatal(err)
	}
	alias := engine.ImageName{Name: "example.com/alias:1", Target: name.Target, Labels: map[string]string{"a": "b"}}
	moved := engine.ImageName{Name: alias.Name, Target: other.Target}
	for _, put := range []engine.ImageName{alias, moved} {
		if err := s.Store.PutImageName(t.Context(), put); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Store.GetImageName(t.Context(), alias.Name)
	if err != nil || got.Target.Digest != other.Target.Digest || got.Labels["a"] != "b" {
		t.Errorf("after it moved the name is %+v, %v", got, err)
	}
	all, err := s.Store.ListImageNames(t.Context())
	if err != nil || len(all) != 3 {
		t.Errorf("names are %v, %v", all, err)
	}
	if err := s.Store.DeleteImageName(t.Context(), alias, false); !errdefs.IsNotFound(err) {
		t.Errorf("delete of a name that has moved on: %v", err)
	}
	if err := s.Store.DeleteImageName(t.Context(), moved, false); err != nil {
		t.Error(err)
	}
	if err := s.Store.DeleteImageName(t.Context(), moved, true); !errdefs.IsNotFound(err) {
		t.Errorf("delete of a name that is gone: %v", err)
	}
	if _, err := s.Store.GetImageName(t.Context(), alias.Name); !errdefs.IsNotFound(err) {
		t.Errorf("name that is gone: %v", err)
	}
}

func (s Subject) watches(t *testing.T) {
	name := s.fetch(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun, ended, changes := make(chan struct{}), make(chan error, 1), make(chan string, 100)
	go func() {
		ended <- s.Store.WatchImageNames(ctx, func() { close(begun) }, func(name string) { changes <- name })
	}()
	receive(t, "the watch", begun)
	alias := engine.ImageName{Name: "example.com/watched:1", Target: name.Target}
	if err := s.Store.PutImageName(ctx, alias); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, "creation", changes); got != alias.Name {
		t.Errorf("changed is %q", got)
	}
	if err := s.Store.DeleteImageName(ctx, alias, false); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, "deletion", changes); got != alias.Name {
		t.Errorf("changed is %q", got)
	}
	cancel()
	if err := receive(t, "the end", ended); err == nil {
		t.Error("a watch ended without an error")
	}
}

func (s Subject) measures(t *testing.T) {
	chain := s.chain(t, s.fetch(t))
	all, err := s.Store.ListSnapshots(t.Context(), s.Snapshotter)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(all, func(i snapshots.Info) bool { return i.Name == chain && i.Kind == snapshots.KindCommitted }) {
		t.Errorf("snapshot %s is not among %v", chain, all)
	}
	usage, err := s.Store.SnapshotUsage(t.Context(), s.Snapshotter, chain)
	if err != nil || usage.Size <= 0 || usage.Inodes <= 0 {
		t.Errorf("usage is %+v, %v", usage, err)
	}
	if _, err := s.Store.SnapshotUsage(t.Context(), s.Snapshotter, "absent"); !errdefs.IsNotFound(err) {
		t.Errorf("usage of a snapshot that is not here: %v", err)
	}
	for _, snapshotter := range []string{s.Snapshotter, s.Second} {
		root, err := s.Store.SnapshotterRoot(t.Context(), snapshotter)
		if err != nil || !filepath.IsAbs(root) {
			t.Errorf("root of %s is %q, %v", snapshotter, root, err)
		}
	}
}

func (s Subject) collects(t *testing.T) {
	name := s.fetch(t)
	chain := s.chain(t, name)
	all, err := s.Store.ListImageNames(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range all {
		if err := s.Store.DeleteImageName(t.Context(), one, i == len(all)-1); err != nil {
			t.Fatal(err)
		}
	}
	if s.unpacked(t, chain, s.Snapshotter) || s.unpacked(t, chain, s.Second) {
		t.Error("the snapshots of an image without a name are still there")
	}
	if _, err := s.Store.ImageManifest(t.Context(), name.Target); !errdefs.IsNotFound(err) {
		t.Errorf("the content of an image without a name is still there: %v", err)
	}
}

// patience is how long something may take that happens by itself.
const patience = 30 * time.Second

func receive[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for !done() {
		if time.Now().After(end) {
			t.Fatalf("%s did not come", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
