package engine

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ImageName is one name in containerd's image store and what it stands for.
// Several names may stand for one image.
type ImageName struct {
	Name   string
	Target ocispec.Descriptor // manifest or index
	Labels map[string]string
}

// ListImageNames returns every name, in containerd's order.
func (e *Engine) ListImageNames(ctx context.Context) ([]ImageName, error) {
	found, err := e.Client().ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list image names: %w", err)
	}
	names := make([]ImageName, len(found))
	for i, image := range found {
		names[i] = imageName(image)
	}
	return names, nil
}

// GetImageName returns one name; errdefs.ErrNotFound if there is none.
func (e *Engine) GetImageName(ctx context.Context, name string) (ImageName, error) {
	image, err := e.Client().ImageService().Get(ctx, name)
	if err != nil {
		return ImageName{}, fmt.Errorf("read image name %q: %w", name, err)
	}
	return imageName(image), nil
}

// PutImageName makes a name stand for a target, whether it exists or not.
// Labels of a name that exists are kept.
func (e *Engine) PutImageName(ctx context.Context, name ImageName) error {
	store := e.Client().ImageService()
	image := images.Image{Name: name.Name, Target: name.Target, Labels: name.Labels}
	for {
		_, err := store.Create(ctx, image)
		if errdefs.IsAlreadyExists(err) {
			_, err = store.Update(ctx, image, "target")
			if errdefs.IsNotFound(err) && ctx.Err() == nil {
				continue // removed in between: create it again
			}
		}
		if err != nil {
			return fmt.Errorf("write image name %q: %w", name.Name, err)
		}
		return nil
	}
}

// DeleteImageName removes a name unless it stands for another target by now;
// errdefs.ErrNotFound if there is none such. With collect, it returns after
// containerd has freed what nothing refers to any more.
func (e *Engine) DeleteImageName(ctx context.Context, name ImageName, collect bool) error {
	options := []images.DeleteOpt{images.DeleteTarget(&name.Target)}
	if collect {
		options = append(options, images.SynchronousDelete())
	}
	if err := e.Client().ImageService().Delete(ctx, name.Name, options...); err != nil {
		return fmt.Errorf("delete image name %q: %w", name.Name, err)
	}
	return nil
}

func imageName(image images.Image) ImageName {
	return ImageName{Name: image.Name, Target: image.Target, Labels: image.Labels}
}
