package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/usage"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxImageJSON bounds what is read of an image into memory, in bytes: an
// index, a manifest or a config. containerd itself accepts manifests of 4 MiB.
const maxImageJSON = 8 << 20

// ImageManifest is an image's manifest for this machine's platform.
type ImageManifest struct {
	Config      ocispec.Descriptor // its digest is the image's id
	Layers      []ocispec.Descriptor
	Annotations map[string]string
	Size        int64 // compressed bytes of index, manifest, config and layers
}

// ImageManifest reads the manifest that target, a manifest or an index, has
// for this machine's platform. It fails with errdefs.ErrNotFound if there is
// none or its content is not in containerd.
func (e *Engine) ImageManifest(ctx context.Context, target ocispec.Descriptor) (ImageManifest, error) {
	store := &smallBlobs{InfoReaderProvider: e.Client().ContentStore(), read: make(map[digest.Digest][]byte)}
	platform := platforms.Default()
	manifest, err := images.Manifest(ctx, store, target, platform)
	if err != nil {
		return ImageManifest{}, fmt.Errorf("read manifest of %s: %w", target.Digest, err)
	}
	size, err := usage.CalculateImageUsage(ctx, images.Image{Target: target}, store,
		usage.WithManifestLimit(platform, 1), usage.WithManifestUsage())
	if err != nil {
		return ImageManifest{}, fmt.Errorf("measure image %s: %w", target.Digest, err)
	}
	return ImageManifest{Config: manifest.Config, Layers: manifest.Layers, Annotations: manifest.Annotations, Size: size}, nil
}

// ImageConfig reads an image's config.
func (e *Engine) ImageConfig(ctx context.Context, config ocispec.Descriptor) (ocispec.Image, error) {
	blob, err := readSmall(ctx, e.Client().ContentStore(), config)
	if err != nil {
		return ocispec.Image{}, fmt.Errorf("read image config %s: %w", config.Digest, err)
	}
	var image ocispec.Image
	if err := json.Unmarshal(blob, &image); err != nil {
		return ocispec.Image{}, fmt.Errorf("parse image config %s: %w", config.Digest, err)
	}
	return image, nil
}

// MissingContent returns which of the blobs are not in containerd.
func (e *Engine) MissingContent(ctx context.Context, blobs []ocispec.Descriptor) ([]digest.Digest, error) {
	store := e.Client().ContentStore()
	var missing []digest.Digest
	for _, blob := range blobs {
		_, err := store.Info(ctx, blob.Digest)
		switch {
		case errdefs.IsNotFound(err):
			missing = append(missing, blob.Digest)
		case err != nil:
			return nil, fmt.Errorf("look for blob %s: %w", blob.Digest, err)
		}
	}
	return missing, nil
}

// smallBlobs remembers the blobs that it has read: the library walks an image
// once for its manifest and once for its size.
type smallBlobs struct {
	content.InfoReaderProvider
	mu   sync.Mutex
	read map[digest.Digest][]byte
}

func (s *smallBlobs) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	s.mu.Lock()
	blob, ok := s.read[desc.Digest]
	s.mu.Unlock()
	if !ok {
		var err error
		if blob, err = readSmall(ctx, s.InfoReaderProvider, desc); err != nil {
			return nil, err
		}
		s.mu.Lock()
		s.read[desc.Digest] = blob
		s.mu.Unlock()
	}
	return inMemory{bytes.NewReader(blob)}, nil
}

// readSmall reads a blob whole. A descriptor comes from outside, so its size
// is checked first.
func readSmall(ctx context.Context, store content.Provider, desc ocispec.Descriptor) ([]byte, error) {
	reader, err := store.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer func() { _ = reader.Close() }() // reading has ended, nothing to lose
	if reader.Size() > maxImageJSON {
		return nil, fmt.Errorf("blob of %d bytes is larger than %d: %w", reader.Size(), maxImageJSON, errdefs.ErrInvalidArgument)
	}
	return io.ReadAll(content.NewReader(reader))
}

// inMemory is a blob that has been read.
type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }
