package image

import (
	"fmt"
	"regexp"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// hexadecimal is what may be an image's id or the start of one. The minimum
// keeps a short image name such as "cafe" a name.
var hexadecimal = regexp.MustCompile(`^[0-9a-f]{7,64}$`)

// normalize completes a reference as every container tool does: the registry
// is docker.io, the tag is latest, and a tag beside a digest is dropped.
func normalize(ref string) (reference.Named, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return nil, fmt.Errorf("image reference %q: %w: %w", ref, err, errdefs.ErrInvalidArgument)
	}
	return named, nil
}

// isID tells whether ref is a whole image id with its algorithm. The form is
// also a valid name with a tag; as in every CRI implementation the id wins.
func isID(ref string) bool {
	_, err := digest.Parse(ref)
	return err == nil
}

// idPrefix returns the hexadecimal digits if ref may be the start of an id,
// with or without algorithm.
func idPrefix(ref string) (string, bool) {
	const algorithm = "sha256:"
	if len(ref) > len(algorithm) && ref[:len(algorithm)] == algorithm {
		ref = ref[len(algorithm):]
	}
	return ref, hexadecimal.MatchString(ref)
}

// nameKind is what a name in containerd is to the CRI.
type nameKind int

const (
	otherName nameKind = iota
	tagName
	digestName
)

// kindOf sorts a name. Names that are ids are those which containerd's own
// CRI plugin writes.
func kindOf(name string) nameKind {
	if isID(name) {
		return otherName
	}
	parsed, err := reference.Parse(name)
	if err != nil {
		return otherName
	}
	switch parsed.(type) {
	case reference.Canonical:
		return digestName
	case reference.NamedTagged:
		return tagName
	default:
		return otherName
	}
}

// digestRef is the name of a target in the repository of named.
func digestRef(named reference.Named, target digest.Digest) (string, error) {
	canonical, err := reference.WithDigest(reference.TrimNamed(named), target)
	if err != nil {
		return "", fmt.Errorf("name %s by digest: %w", named, err)
	}
	return canonical.String(), nil
}

// repository is the normalized repository of a reference that has neither tag
// nor digest; false for any other.
func repository(ref string) (string, bool) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil || !reference.IsNameOnly(named) {
		return "", false
	}
	return named.Name(), true
}
