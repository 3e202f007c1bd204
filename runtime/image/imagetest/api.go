package imagetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/trivet-cri/trivet/runtime/engine"
)

// ListImageNames is part of image.Store.
func (s *Store) ListImageNames(context.Context) ([]engine.ImageName, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.names)), nil
}

// GetImageName is part of image.Store.
func (s *Store) GetImageName(_ context.Context, name string) (engine.ImageName, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.names[name]
	if !ok {
		return engine.ImageName{}, missing("image name", name)
	}
	return found, nil
}

// PutImageName is part of image.Store.
func (s *Store) PutImageName(_ context.Context, name engine.ImageName) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.names[name.Name]; ok {
		name.Labels = known.Labels
	}
	s.put(name)
	return nil
}

// DeleteImageName is part of image.Store.
func (s *Store) DeleteImageName(_ context.Context, name engine.ImageName, collect bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.names[name.Name]; !ok || known.Target.Digest != name.Target.Digest {
		return missing("image name", name.Name)
	}
	delete(s.names, name.Name)
	if collect {
		s.collect()
	}
	s.tell(name.Name)
	return nil
}

// WatchImageNames is part of image.Store.
func (s *Store) WatchImageNames(ctx context.Context, begun func(), changed func(string)) error {
	s.mu.Lock()
	changes, broken, id := make(chan string, 1000), s.broken, s.next
	s.next++
	s.watchers[id] = changes
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, id)
	}()
	begun()
	for {
		select {
		case name := <-changes:
			changed(name)
		case <-broken:
			return errors.New("watch: the stream broke")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ImageManifest is part of image.Store.
func (s *Store) ImageManifest(_ context.Context, target ocispec.Descriptor) (engine.ImageManifest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if err := s.damaged[target.Digest]; err != nil {
		return engine.ImageManifest{}, err
	}
	found, ok := s.contents[target.Digest]
	if !ok {
		return engine.ImageManifest{}, missing("manifest", target.Digest.String())
	}
	return found.Manifest, nil
}

// ImageConfig is part of image.Store.
func (s *Store) ImageConfig(_ context.Context, config ocispec.Descriptor) (ocispec.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.contents {
		if c.Manifest.Config.Digest == config.Digest {
			return c.Config, nil
		}
	}
	return ocispec.Image{}, missing("config", config.Digest.String())
}

// MissingContent is part of image.Store.
func (s *Store) MissingContent(_ context.Context, blobs []ocispec.Descriptor) ([]digest.Digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var gone []digest.Digest
	for _, blob := range blobs {
		if s.lost[blob.Digest] || !s.has(blob.Digest) {
			gone = append(gone, blob.Digest)
		}
	}
	return gone, nil
}

func (s *Store) has(blob digest.Digest) bool {
	for _, c := range s.contents {
		for _, layer := range c.Manifest.Layers {
			if layer.Digest == blob {
				return true
			}
		}
	}
	return false
}

// ImageUnpacked is part of image.Store.
func (s *Store) ImageUnpacked(_ context.Context, chainID, snapshotter string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.snapshots[snapshotter][chainID]
	return ok || chainID == "", nil
}

// UnpackImage is part of image.Store.
func (s *Store) UnpackImage(_ context.Context, name engine.ImageName, snapshotter string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.contents[name.Target.Digest]
	if !ok {
		return missing("manifest", name.Target.Digest.String())
	}
	for _, layer := range c.Manifest.Layers {
		if s.lost[layer.Digest] {
			return missing("layer", layer.Digest.String())
		}
	}
	s.snapshot(snapshotter, c.ChainID(), snapshots.KindCommitted)
	return nil
}

// ListSnapshots is part of image.Store.
func (s *Store) ListSnapshots(_ context.Context, snapshotter string) ([]snapshots.Info, error) {
	if s.OnList != nil {
		if err := s.OnList(snapshotter); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.snapshots[snapshotter])), nil
}

// SnapshotUsage is part of image.Store: each snapshot has 4096 bytes in 3 inodes.
func (s *Store) SnapshotUsage(_ context.Context, snapshotter, key string) (snapshots.Usage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.snapshots[snapshotter][key]; !ok {
		return snapshots.Usage{}, missing("snapshot", key)
	}
	s.used[key]++
	return snapshots.Usage{Size: 4096, Inodes: 3}, nil
}

// SnapshotterRoot is part of image.Store.
func (s *Store) SnapshotterRoot(_ context.Context, snapshotter string) (string, error) {
	return "/var/lib/fake/" + snapshotter, nil
}

// FetchArtifact is part of image.Store.
func (s *Store) FetchArtifact(_ context.Context, ref, _ string, limit int64) ([]byte, digest.Digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	blob, ok := s.artifacts[ref]
	if !ok || int64(len(blob)) > limit {
		return nil, "", fmt.Errorf("fetch artifact %q: %w", ref, errdefs.ErrNotFound)
	}
	return blob, digest.FromBytes(blob), nil
}

// AddArtifact puts an artifact into the fake registry.
func (s *Store) AddArtifact(ref string, blob []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.artifacts == nil {
		s.artifacts = make(map[string][]byte)
	}
	s.artifacts[ref] = blob
}

// TransferImage is part of image.Store.
func (s *Store) TransferImage(ctx context.Context, t engine.ImageTransfer, progress func(transfer.Progress)) error {
	s.mu.Lock()
	s.transfers = append(s.transfers, t)
	s.mu.Unlock()
	if slices.Contains(s.FetchOnly, t.Snapshotter) {
		return fmt.Errorf("fetch %q: %w", t.Ref, errdefs.ErrNotImplemented)
	}
	progress(transfer.Progress{Event: "Resolving from the fake registry"})
	if s.OnTransfer != nil {
		if err := s.OnTransfer(ctx, t, progress); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.registry[t.Ref]
	if !ok {
		return fmt.Errorf("fetch %q: failed to resolve image: %w", t.Ref, missing("image", t.Ref))
	}
	for _, layer := range c.Manifest.Layers {
		progress(transfer.Progress{Event: "complete", Name: layer.Digest.String(), Progress: layer.Size, Total: layer.Size, Desc: &layer})
	}
	s.contents[c.Target.Digest] = c
	if t.Snapshotter != "" {
		s.snapshot(t.Snapshotter, c.ChainID(), snapshots.KindCommitted)
	}
	s.put(engine.ImageName{Name: t.Ref, Target: c.Target, Labels: t.Labels})
	return nil
}
