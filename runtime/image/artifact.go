package image

import (
	"context"
	"fmt"

	"github.com/distribution/reference"
)

// Artifact is the first blob of an OCI artifact that is no image, at most limit
// bytes of it, and what names the artifact by its digest. The registry is asked
// each time, without credentials but for those of its hosts.toml.
func (s *Service) Artifact(ctx context.Context, ref string, limit int64) (blob []byte, byDigest string, err error) {
	named, err := normalize(ref)
	if err != nil {
		return nil, "", err
	}
	dir, err := hostDir(s.cfg.ConfigPath, reference.Domain(named))
	if err != nil {
		return nil, "", fmt.Errorf("pull %q: %w", named, err)
	}
	blob, digest, err := s.store.FetchArtifact(ctx, named.String(), dir, limit)
	if err != nil {
		return nil, "", pullFailure(named.String(), err)
	}
	byDigest, err = digestRef(named, digest)
	return blob, byDigest, err
}
