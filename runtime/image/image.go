package image

import (
	"slices"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/trivet-cri/trivet/runtime/engine"
)

// Image is one image, as the index knows it. It is shared by everybody who
// asks: nothing that it refers to may be changed.
type Image struct {
	ID          string            // digest of the config, sha256:…
	Tags        []string          // sorted, such as docker.io/library/busybox:1.36
	Digests     []string          // sorted, such as docker.io/library/busybox@sha256:…
	Size        uint64            // compressed bytes
	Config      ocispec.Image     // the parsed config
	ChainID     string            // snapshot key of the last layer; empty for an image without layers
	Annotations map[string]string // of the manifest
	Pinned      bool              // the kubelet is asked not to remove it to gain space
	Username    string            // the image's user, unless that is a number
	UID         *int64            // the image's user, if that is a number

	names []engine.ImageName // every name in containerd, sorted; never empty
}

// Names are all names that containerd knows the image by, sorted: its tags,
// its digests and others, such as the ids that containerd's own CRI plugin
// records.
func (i Image) Names() []string {
	names := make([]string, len(i.names))
	for n, name := range i.names {
		names[n] = name.Name
	}
	return names
}

// DisplayName is what a person calls the image: a tag, else a digest, else
// the id.
func (i Image) DisplayName() string {
	return slices.Concat(i.Tags, i.Digests, []string{i.ID})[0]
}

// user splits the user of an image's config, which may be name, uid,
// name:group or uid:gid. At most one of the results is set.
func user(spec string) (*int64, string) {
	name, _, _ := strings.Cut(spec, ":")
	if uid, err := strconv.ParseInt(name, 10, 64); err == nil {
		return &uid, ""
	}
	return nil, name
}
