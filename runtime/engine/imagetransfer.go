package engine

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/containerd/v2/core/transfer/image"
	"github.com/containerd/containerd/v2/core/transfer/local"
	"github.com/containerd/containerd/v2/core/transfer/registry"
	"github.com/containerd/containerd/v2/core/unpack"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
)

// ImageTransfer says what to pull and how.
type ImageTransfer struct {
	Ref          string                                          // normalized: host/repository:tag or host/repository@digest
	Snapshotter  string                                          // where to unpack; empty to only fetch
	HostDir      string                                          // directory with a hosts.toml directory for each registry; empty for none
	Header       http.Header                                     // sent with each request to the registry
	Credentials  func(registryHost string) (user, secret string) // asked when a registry wants to know; a secret without user is an identity token
	MaxDownloads int                                             // layers fetched at the same time; 0 for containerd's own setting
	Labels       map[string]string                               // of the image name
}

// TransferImage fetches an image for this machine's platform, unpacks it and
// gives it the name t.Ref. progress is called from another goroutine, maybe
// also shortly after the return.
//
// containerd does the work, with its image verifiers. Its API has no field for
// a limit of downloads, so with t.MaxDownloads this process runs the same
// code, and containerd's verifiers are not asked.
//
// A snapshotter that containerd's transfer service is not configured for is
// errdefs.ErrNotImplemented: fetch only, then call UnpackImage.
func (e *Engine) TransferImage(ctx context.Context, t ImageTransfer, progress func(transfer.Progress)) error {
	// The end of ctx ends the streams for credentials and progress.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	options := []registry.Opt{
		registry.WithCredentials(credentials(t.Credentials)),
		registry.WithHostDir(t.HostDir),
	}
	if len(t.Header) > 0 {
		options = append(options, registry.WithHeaders(t.Header))
	}
	source, err := registry.NewOCIRegistry(ctx, t.Ref, options...)
	if err != nil {
		return fmt.Errorf("fetch %q: %w", t.Ref, err)
	}
	platform := platforms.DefaultSpec()
	stored := []image.StoreOpt{image.WithPlatforms(platform), image.WithImageLabels(t.Labels)}
	if t.Snapshotter != "" {
		stored = append(stored, image.WithUnpack(platform, t.Snapshotter))
	}
	service := e.Client().Transfer
	if t.MaxDownloads > 0 {
		service = e.ownTransfer(t).Transfer
	}
	err = service(ctx, source, image.NewStore(t.Ref, stored...), transfer.WithProgress(progress))
	if err != nil && t.Snapshotter != "" && strings.Contains(err.Error(), "no unpack platforms defined") {
		return fmt.Errorf("fetch %q for snapshotter %q: containerd's transfer service does not unpack for it: %w",
			t.Ref, t.Snapshotter, errdefs.ErrNotImplemented)
	}
	if err != nil {
		return fmt.Errorf("fetch %q: %w", t.Ref, err)
	}
	return nil
}

// ownTransfer is containerd's transfer service in this process, on top of
// containerd's stores.
func (e *Engine) ownTransfer(t ImageTransfer) transfer.Transferrer {
	client := e.Client()
	options := local.TransferConfig{Leases: client.LeasesService(), MaxConcurrentDownloads: t.MaxDownloads}
	if t.Snapshotter != "" {
		options.UnpackPlatforms = []unpack.Platform{{
			Platform:       platforms.Default(),
			SnapshotterKey: t.Snapshotter,
			Snapshotter:    client.SnapshotService(t.Snapshotter),
			Applier:        client.DiffService(),
		}}
	}
	return local.NewTransferService(client.ContentStore(), client.ImageService(), options)
}

// credentials is the transfer service's view of a function. It must never
// fail: the service would wait for an answer without end.
type credentials func(registryHost string) (user, secret string)

// GetCredentials answers one question of the transfer service.
func (c credentials) GetCredentials(_ context.Context, _, host string) (registry.Credentials, error) {
	user, secret := c(host)
	return registry.Credentials{Host: host, Username: user, Secret: secret}, nil
}
