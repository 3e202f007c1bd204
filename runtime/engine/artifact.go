package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/containerd/v2/core/transfer/registry"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// FetchArtifact reads the first blob of an OCI artifact, which must not have
// more than limit bytes, and the digest that ref stands for. It asks the
// registry itself: containerd has no place for what is no image, and nothing
// of it is kept. hostDir is as in ImageTransfer.
func (e *Engine) FetchArtifact(ctx context.Context, ref, hostDir string, limit int64) ([]byte, digest.Digest, error) {
	source, err := registry.NewOCIRegistry(ctx, ref, registry.WithHostDir(hostDir))
	if err != nil {
		return nil, "", fmt.Errorf("fetch artifact %q: %w", ref, err)
	}
	name, target, err := source.Resolve(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("find artifact %q: %w", ref, err)
	}
	fetcher, err := source.Fetcher(ctx, name)
	if err != nil {
		return nil, "", fmt.Errorf("fetch artifact %q: %w", ref, err)
	}
	manifest, err := artifactManifest(ctx, fetcher, target)
	if err != nil {
		return nil, "", fmt.Errorf("read manifest of artifact %q: %w", ref, err)
	}
	if len(manifest.Layers) == 0 {
		return nil, "", fmt.Errorf("artifact %q has no blob: %w", ref, errdefs.ErrInvalidArgument)
	}
	blob, err := fetchSmall(ctx, fetcher, manifest.Layers[0], limit)
	if err != nil {
		return nil, "", fmt.Errorf("read artifact %q: %w", ref, err)
	}
	return blob, target.Digest, nil
}

// artifactManifest is the manifest that target is, or the one that an index has
// for this machine.
func artifactManifest(ctx context.Context, from transfer.Fetcher, target ocispec.Descriptor) (manifest ocispec.Manifest, err error) {
	if images.IsIndexType(target.MediaType) {
		var index ocispec.Index
		if err := fetchJSON(ctx, from, target, &index); err != nil {
			return manifest, err
		}
		if target, err = ofThisMachine(index); err != nil {
			return manifest, err
		}
	}
	if !images.IsManifestType(target.MediaType) {
		return manifest, fmt.Errorf("%q is the type of no manifest: %w", target.MediaType, errdefs.ErrInvalidArgument)
	}
	return manifest, fetchJSON(ctx, from, target, &manifest)
}

func ofThisMachine(index ocispec.Index) (ocispec.Descriptor, error) {
	platform := platforms.Default()
	for _, one := range index.Manifests {
		if one.Platform == nil || platform.Match(*one.Platform) {
			return one, nil
		}
	}
	return ocispec.Descriptor{}, fmt.Errorf("its index has nothing for this machine: %w", errdefs.ErrNotFound)
}

func fetchJSON(ctx context.Context, from transfer.Fetcher, desc ocispec.Descriptor, into any) error {
	text, err := fetchSmall(ctx, from, desc, maxImageJSON)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("parse %s: %w: %w", desc.Digest, err, errdefs.ErrInvalidArgument)
	}
	return nil
}

// fetchSmall reads a blob whole and sees that it is what its descriptor says.
func fetchSmall(ctx context.Context, from transfer.Fetcher, desc ocispec.Descriptor, limit int64) ([]byte, error) {
	if desc.Size > limit {
		return nil, fmt.Errorf("blob of %d bytes is larger than %d: %w", desc.Size, limit, errdefs.ErrInvalidArgument)
	}
	if err := desc.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w: %w", desc.Digest, err, errdefs.ErrInvalidArgument)
	}
	reader, err := from.Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer func() { _ = reader.Close() }() // reading has ended, nothing to lose
	blob, err := io.ReadAll(io.LimitReader(reader, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(blob)) > limit || desc.Digest.Algorithm().FromBytes(blob) != desc.Digest {
		return nil, fmt.Errorf("blob of %d bytes is not %s: %w", len(blob), desc.Digest, errdefs.ErrDataLoss)
	}
	return blob, nil
}
