package cri

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/image"
)

// Images serves the CRI's ImageService.
type Images struct {
	service  *image.Service
	handlers map[string]config.Handler
}

// NewImages returns the handlers. A pull for one of the runtime handlers goes
// to that handler's snapshotter.
func NewImages(service *image.Service, handlers map[string]config.Handler) *Images {
	return &Images{service: service, handlers: handlers}
}

// ListImages lists the images that are here: all, or those that the filter's
// image means. A filter without tag and digest means a whole repository.
func (i *Images) ListImages(_ context.Context, r *runtimeapi.ListImagesRequest) (*runtimeapi.ListImagesResponse, error) {
	found := i.service.List(r.GetFilter().GetImage().GetImage())
	response := &runtimeapi.ListImagesResponse{Images: make([]*runtimeapi.Image, len(found))}
	for n, one := range found {
		response.Images[n] = criImage(one, nil)
	}
	return response, nil
}

// ImageStatus tells about one image. An image that is not here is no error:
// the response then has none.
func (i *Images) ImageStatus(ctx context.Context, r *runtimeapi.ImageStatusRequest) (*runtimeapi.ImageStatusResponse, error) {
	found, err := i.service.Resolve(ctx, r.GetImage().GetImage())
	if errdefs.IsNotFound(err) {
		return &runtimeapi.ImageStatusResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	response := &runtimeapi.ImageStatusResponse{Image: criImage(found, r.GetImage())}
	if r.GetVerbose() {
		info, err := imageInfo(found)
		if err != nil {
			return nil, err
		}
		response.Info = map[string]string{"info": info}
	}
	return response, nil
}

// PullImage pulls an image and returns its id. Calls for the same image with
// the same credentials join; a client that gives up finds the pull under way
// when it comes back. Errors: InvalidArgument, NotFound, Unauthenticated,
// DeadlineExceeded for a pull without progress, and Unknown with a message that
// begins with RegistryUnavailable.
func (i *Images) PullImage(ctx context.Context, r *runtimeapi.PullImageRequest) (*runtimeapi.PullImageResponse, error) {
	snapshotter, err := i.snapshotter(r.GetImage().GetRuntimeHandler())
	if err != nil {
		return nil, err
	}
	pulled, err := i.service.Pull(ctx, r.GetImage().GetImage(), r.GetAuth(), r.GetSandboxConfig(), snapshotter)
	if err != nil {
		return nil, err
	}
	return &runtimeapi.PullImageResponse{ImageRef: pulled.ID}, nil
}

// RemoveImage removes an image with all its tags and digests. It is idempotent.
func (i *Images) RemoveImage(ctx context.Context, r *runtimeapi.RemoveImageRequest) (*runtimeapi.RemoveImageResponse, error) {
	if err := i.service.Remove(ctx, r.GetImage().GetImage()); err != nil {
		return nil, err
	}
	return &runtimeapi.RemoveImageResponse{}, nil
}

// ImageFsInfo tells what images and containers take on disk, from figures
// that are measured in the background. Both live in the same snapshotters, so
// both lists are the same: that is how the kubelet knows that there is no
// second file system.
func (i *Images) ImageFsInfo(ctx context.Context, _ *runtimeapi.ImageFsInfoRequest) (*runtimeapi.ImageFsInfoResponse, error) {
	systems, err := i.service.FsInfo(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]*runtimeapi.FilesystemUsage, len(systems))
	for n, fs := range systems {
		all[n] = &runtimeapi.FilesystemUsage{
			Timestamp:  fs.Time.UnixNano(),
			FsId:       &runtimeapi.FilesystemIdentifier{Mountpoint: fs.Mountpoint},
			UsedBytes:  &runtimeapi.UInt64Value{Value: fs.Bytes},
			InodesUsed: &runtimeapi.UInt64Value{Value: fs.Inodes},
		}
	}
	return &runtimeapi.ImageFsInfoResponse{ImageFilesystems: all, ContainerFilesystems: all}, nil
}

// snapshotter is that of a runtime handler, empty for the configured one.
func (i *Images) snapshotter(handler string) (string, error) {
	if handler == "" {
		return "", nil
	}
	known, ok := i.handlers[handler]
	if !ok {
		return "", fmt.Errorf("pull image: runtime handler %q is not configured: %w", handler, errdefs.ErrInvalidArgument)
	}
	return known.Snapshotter, nil
}

// criImage translates an image. asked, which may be nil, is what the client
// called it.
func criImage(found image.Image, asked *runtimeapi.ImageSpec) *runtimeapi.Image {
	translated := &runtimeapi.Image{
		Id:          found.ID,
		RepoTags:    found.Tags,
		RepoDigests: found.Digests,
		Size:        found.Size,
		Username:    found.Username,
		Pinned:      found.Pinned,
		Spec: &runtimeapi.ImageSpec{
			Image:              found.DisplayName(),
			Annotations:        maps.Clone(found.Annotations),
			UserSpecifiedImage: asked.GetUserSpecifiedImage(),
			RuntimeHandler:     asked.GetRuntimeHandler(),
		},
	}
	if found.UID != nil {
		translated.Uid = &runtimeapi.Int64Value{Value: *found.UID}
	}
	return translated
}

// imageInfo is the verbose part of ImageStatus, in the form of containerd's
// CRI plugin.
func imageInfo(found image.Image) (string, error) {
	text, err := json.Marshal(struct {
		ChainID   string        `json:"chainID"`
		ImageSpec ocispec.Image `json:"imageSpec"`
	}{found.ChainID, found.Config})
	if err != nil {
		return "", fmt.Errorf("describe image %q: %w", found.DisplayName(), err)
	}
	return string(text), nil
}
