package image

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/trivet-cri/trivet/internal/telemetry"
)

// unpackTimeout bounds the unpacking of an image that is here.
const unpackTimeout = 30 * time.Minute

// EnsureUnpacked makes sure that an image can be the parent of snapshots in a
// snapshotter, an empty one being the configured. Images that were pulled for
// another snapshotter or came from another tool are unpacked now.
func (s *Service) EnsureUnpacked(ctx context.Context, image Image, snapshotter string) error {
	if snapshotter == "" {
		snapshotter = s.cfg.Snapshotter
	}
	unpacked, err := s.store.ImageUnpacked(ctx, image.ChainID, snapshotter)
	if err != nil {
		return fmt.Errorf("unpack image %q: %w", image.DisplayName(), err)
	}
	if unpacked {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, unpackTimeout)
	defer cancel()
	err = telemetry.Span(ctx, "image.unpack", func(ctx context.Context) error {
		return s.store.UnpackImage(ctx, image.names[0], snapshotter)
	}, attribute.String("trivet.image.id", image.ID), attribute.String("trivet.snapshotter", snapshotter))
	if err != nil {
		return fmt.Errorf("unpack image %q: %w", image.DisplayName(), err)
	}
	return nil
}
