package engine

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Blob is content and what describes it.
type Blob struct {
	Descriptor ocispec.Descriptor
	Bytes      []byte
}

// ImportImage brings an image of one platform into containerd under a name.
// It is idempotent, also over a crash midway: a lease keeps what is there until
// the name does.
func (e *Engine) ImportImage(ctx context.Context, name ImageName, manifest, config Blob, layers ...Blob) error {
	lease, err := e.client.LeasesService().Create(ctx, leases.WithRandomID(), leases.WithExpiration(viewLease), leases.WithLabel(kindLabel, viewKind))
	if err != nil {
		return fmt.Errorf("import image %q: lease: %w", name.Name, err)
	}
	defer func() {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		_ = e.client.LeasesService().Delete(undo, lease) // it ends by itself too
	}()
	leased := leases.WithLease(ctx, lease.ID)
	references := map[string]string{"containerd.io/gc.ref.content.config": config.Descriptor.Digest.String()}
	for i, layer := range layers {
		references["containerd.io/gc.ref.content.l."+strconv.Itoa(i)] = layer.Descriptor.Digest.String()
		if err := e.writeBlob(leased, layer, nil); err != nil {
			return err
		}
	}
	if err := e.writeBlob(leased, config, nil); err != nil {
		return err
	}
	if err := e.writeBlob(leased, manifest, references); err != nil {
		return err
	}
	name.Target = manifest.Descriptor
	return e.PutImageName(leased, name)
}

func (e *Engine) writeBlob(ctx context.Context, blob Blob, labels map[string]string) error {
	store, digest := e.client.ContentStore(), blob.Descriptor.Digest
	err := content.WriteBlob(ctx, store, "trivet-"+digest.String(), bytes.NewReader(blob.Bytes), blob.Descriptor, content.WithLabels(labels))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("write blob %s: %w", digest, err)
	}
	return nil
}
