package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/runtime/engine"
)

// Remove removes an image with all its names, whichever of them ref is, and
// returns when containerd has freed what only they referred to. Containers
// that use the image keep running: their snapshots hold its layers. An image
// that is not here is no error.
func (s *Service) Remove(ctx context.Context, ref string) error {
	names, err := s.toRemove(ctx, ref)
	if err != nil {
		return err
	}
	var failed []error
	for i, name := range names {
		// Only the last name frees anything.
		err := s.store.DeleteImageName(ctx, name, i == len(names)-1)
		if err != nil && !errdefs.IsNotFound(err) {
			failed = append(failed, fmt.Errorf("remove image %q: %w", ref, err))
			continue
		}
		if err := s.refresh(ctx, name.Name); err != nil {
			failed = append(failed, fmt.Errorf("remove image %q: %w", ref, err))
		}
	}
	if len(names) > 0 && len(failed) == 0 {
		s.log.InfoContext(ctx, "image removed", "image", ref, "names", len(names))
	}
	return errors.Join(failed...)
}

// toRemove returns the names of the image, or the quarantined name, that ref
// means.
func (s *Service) toRemove(ctx context.Context, ref string) ([]engine.ImageName, error) {
	image, err := s.Resolve(ctx, ref)
	if err == nil {
		return image.names, nil
	}
	if !errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("remove image: %w", err)
	}
	v := s.index.load()
	candidates := []string{ref}
	if named, err := normalize(ref); err == nil {
		candidates = append(candidates, named.String())
	}
	for _, name := range candidates {
		if bad, ok := v.records[name]; ok {
			return []engine.ImageName{bad.name}, nil
		}
	}
	return nil, nil
}
