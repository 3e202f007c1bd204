package image

import (
	"fmt"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// NameAnnotation is where an OCI image layout has an image's name.
const NameAnnotation = "org.opencontainers.image.ref.name"

// Write stores images as an OCI image layout in dir, one entry of the index
// for each name.
func Write(dir string, images []Named) error {
	store, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("write images: %w", err)
	}
	for _, named := range images {
		for _, name := range named.Names {
			annotation := layout.WithAnnotations(map[string]string{NameAnnotation: name})
			if err := store.AppendImage(named.Image, annotation); err != nil {
				return fmt.Errorf("write image %s: %w", name, err)
			}
		}
	}
	return nil
}
