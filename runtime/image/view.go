package image

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/trivet-cri/trivet/runtime/engine"
)

// contents is what the blobs of an image say. It never changes.
type contents struct {
	manifest engine.ImageManifest
	config   ocispec.Image
	chainID  string
}

// record is one name and what is known of it.
type record struct {
	name     engine.ImageName
	contents *contents // nil if problem says why
	problem  error
}

// view is an immutable picture of all images.
type view struct {
	records map[string]record
	images  []Image // sorted by display name
	byID    map[string]int
	byName  map[string]int // names as they are in containerd, and normalized
	ids     []string       // sorted
}

// newView arranges records by image.
func newView(records map[string]record, pinned func(Image) bool) *view {
	v := &view{records: records, byID: make(map[string]int), byName: make(map[string]int)}
	for _, name := range slices.Sorted(maps.Keys(records)) {
		if r := records[name]; r.contents != nil {
			v.add(r)
		}
	}
	for i := range v.images {
		v.images[i].Pinned = pinned(v.images[i])
	}
	slices.SortFunc(v.images, func(a, b Image) int {
		return cmp.Or(strings.Compare(a.DisplayName(), b.DisplayName()), strings.Compare(a.ID, b.ID))
	})
	for i, image := range v.images {
		v.byID[image.ID] = i
		for _, name := range image.names {
			v.byName[name.Name] = i
		}
	}
	v.addNormalized()
	v.ids = slices.Sorted(maps.Keys(v.byID))
	return v
}

// add puts a name on its image, which the first of its names brings along.
func (v *view) add(r record) {
	id := r.contents.manifest.Config.Digest.String()
	i, known := v.byID[id]
	if !known {
		i = len(v.images)
		v.byID[id] = i
		uid, username := user(r.contents.config.Config.User)
		v.images = append(v.images, Image{
			ID:          id,
			Size:        uint64(max(r.contents.manifest.Size, 0)),
			Config:      r.contents.config,
			ChainID:     r.contents.chainID,
			Annotations: r.contents.manifest.Annotations,
			UID:         uid,
			Username:    username,
		})
	}
	image := &v.images[i]
	image.names = append(image.names, r.name)
	switch kindOf(r.name.Name) {
	case tagName:
		image.Tags = append(image.Tags, r.name.Name)
	case digestName:
		image.Digests = append(image.Digests, r.name.Name)
	}
}

// addNormalized makes names that other tools wrote, such as busybox:1,
// findable by what they mean. The name itself, if it exists, goes first.
func (v *view) addNormalized() {
	for i, image := range v.images {
		for _, name := range image.names {
			if kindOf(name.Name) == otherName {
				continue
			}
			named, err := reference.ParseDockerRef(name.Name)
			if err != nil {
				continue
			}
			if _, taken := v.byName[named.String()]; !taken {
				v.byName[named.String()] = i
			}
		}
	}
}

// resolve finds an image by tag, digest or id. Beside the full id, seven or
// more of its first digits are enough if no other id begins with them; names
// go before such digits.
func (v *view) resolve(ref string) (Image, error) {
	if i, ok := v.byID[ref]; ok {
		return v.images[i], nil
	}
	if i, ok := v.byName[ref]; ok {
		return v.images[i], nil
	}
	if named, err := reference.ParseDockerRef(ref); err == nil && !isID(ref) {
		if i, ok := v.byName[named.String()]; ok {
			return v.images[i], nil
		}
	}
	if digits, ok := idPrefix(ref); ok {
		return v.byPrefix(ref, digits)
	}
	return Image{}, fmt.Errorf("image %q: %w", ref, errdefs.ErrNotFound)
}

func (v *view) byPrefix(ref, digits string) (Image, error) {
	prefix := digest.Canonical.String() + ":" + digits
	from, _ := slices.BinarySearch(v.ids, prefix)
	if from == len(v.ids) || !strings.HasPrefix(v.ids[from], prefix) {
		return Image{}, fmt.Errorf("image %q: %w", ref, errdefs.ErrNotFound)
	}
	if from+1 < len(v.ids) && strings.HasPrefix(v.ids[from+1], prefix) {
		return Image{}, fmt.Errorf("image id %q is the start of several ids: %w", ref, errdefs.ErrInvalidArgument)
	}
	return v.images[v.byID[v.ids[from]]], nil
}

// known returns the contents of a target if a name in the view stands for it.
func (v *view) known(target digest.Digest) *contents {
	for _, r := range v.records {
		if r.contents != nil && r.name.Target.Digest == target {
			return r.contents
		}
	}
	return nil
}

// knownConfig returns a parsed config if an image in the view has it.
func (v *view) knownConfig(config digest.Digest) (ocispec.Image, bool) {
	i, ok := v.byID[config.String()]
	if !ok {
		return ocispec.Image{}, false
	}
	return v.images[i].Config, true
}

// inRepository returns the images that have a tag or digest in a repository.
func (v *view) inRepository(name string) []Image {
	var found []Image
	for _, image := range v.images {
		for _, own := range slices.Concat(image.Tags, image.Digests) {
			named, err := reference.ParseNormalizedNamed(own)
			if err == nil && named.Name() == name {
				found = append(found, image)
				break
			}
		}
	}
	return found
}
