package image

import (
	"context"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/trivet-cri/trivet/runtime/engine"
)

// Store is containerd, as this package needs it. *engine.Engine is one; the
// fake in imagetest passes the same contract suite.
type Store interface {
	NameStore
	ContentStore
	SnapshotStore
	// FetchArtifact reads what is no image; see engine.Engine.
	FetchArtifact(ctx context.Context, ref, hostDir string, limit int64) ([]byte, digest.Digest, error)
	// TransferImage pulls; see engine.Engine.
	TransferImage(ctx context.Context, t engine.ImageTransfer, progress func(transfer.Progress)) error
}

// NameStore has the names of images.
type NameStore interface {
	ListImageNames(ctx context.Context) ([]engine.ImageName, error)
	GetImageName(ctx context.Context, name string) (engine.ImageName, error)
	PutImageName(ctx context.Context, name engine.ImageName) error
	DeleteImageName(ctx context.Context, name engine.ImageName, collect bool) error
	WatchImageNames(ctx context.Context, begun func(), changed func(name string)) error
}

// ContentStore has what the names stand for.
type ContentStore interface {
	ImageManifest(ctx context.Context, target ocispec.Descriptor) (engine.ImageManifest, error)
	ImageConfig(ctx context.Context, config ocispec.Descriptor) (ocispec.Image, error)
	MissingContent(ctx context.Context, blobs []ocispec.Descriptor) ([]digest.Digest, error)
}

// SnapshotStore has unpacked images and the file systems of containers.
type SnapshotStore interface {
	ImageUnpacked(ctx context.Context, chainID, snapshotter string) (bool, error)
	UnpackImage(ctx context.Context, name engine.ImageName, snapshotter string) error
	ListSnapshots(ctx context.Context, snapshotter string) ([]snapshots.Info, error)
	SnapshotUsage(ctx context.Context, snapshotter, key string) (snapshots.Usage, error)
	SnapshotterRoot(ctx context.Context, snapshotter string) (string, error)
}

var _ Store = (*engine.Engine)(nil)
