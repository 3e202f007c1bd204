// Package image makes the images that the lab's registry serves: look-alikes,
// under their real names, of those that Kubernetes' CRI validation suite and
// our own tests ask for.
//
// The invariant: an image is a function of its content alone. Times, owners and
// the order of files are fixed, so two machines with the same busybox and the
// same compiler make the same digests. Making images writes nothing but the
// directory that is named; a failure leaves it unfinished, and the caller
// removes it.
package image

import (
	"fmt"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Named is an image and the names it is served under.
type Named struct {
	Names []string // registry/repository:tag
	Image v1.Image
}

// assemble makes an image for this machine's architecture.
func assemble(config v1.Config, layers ...v1.Layer) (v1.Image, error) {
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	additions := make([]mutate.Addendum, len(layers))
	for i, l := range layers {
		additions[i] = mutate.Addendum{Layer: l, History: v1.History{Created: v1.Time{Time: made}, CreatedBy: "trivet lab"}}
	}
	image, err := mutate.Append(image, additions...)
	if err != nil {
		return nil, fmt.Errorf("assemble image: %w", err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("assemble image: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Created, file.Config = v1.Time{Time: made}, config
	if image, err = mutate.ConfigFile(image, file); err != nil {
		return nil, fmt.Errorf("assemble image: %w", err)
	}
	return image, nil
}
