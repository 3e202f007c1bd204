package container

import (
	"context"
	"fmt"
	"time"

	"github.com/trivet-cri/trivet/runtime/operation"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// artifactTimeout is how long a registry may take for a seccomp profile.
const artifactTimeout = time.Minute

// fetchProfile reads the seccomp profile of a container that an annotation has
// in an OCI artifact. The record keeps which one it was.
func (s *Service) fetchProfile(ctx context.Context, c *Container, in *spec.Input) error {
	key, ref := in.SeccompArtifact()
	if ref == "" {
		return nil
	}
	operation.Stage(ctx, "seccomp profile")
	defer operation.Stage(ctx, "spec")
	ctx, cancel := context.WithTimeout(ctx, artifactTimeout)
	defer cancel()
	text, byDigest, err := s.Images.Artifact(ctx, ref, spec.MaxProfile)
	if err != nil {
		return fmt.Errorf("annotations[%q] %.200q: %w", key, ref, err)
	}
	in.SeccompProfile = text
	c.record.Load().SeccompArtifact = byDigest
	return nil
}
