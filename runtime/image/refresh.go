package image

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/runtime/engine"
)

const (
	// readers is how many images are read from containerd at the same time.
	readers = 8
	// readTimeout bounds the reading of one image's metadata.
	readTimeout = 30 * time.Second
	// listEvery is the pause between full listings, which repair whatever
	// events did not tell, for example that missing content has arrived.
	listEvery = time.Minute
	// retryFirst and retryLast bound the pause before a new subscription.
	retryFirst = 100 * time.Millisecond
	retryLast  = 5 * time.Second
)

// emptyConfig is the config of OCI artifacts that are no images. All of them
// would have the same id.
const emptyConfig = "application/vnd.oci.empty.v1+json"

// Load reads all images, several at a time. Images that cannot be understood
// are quarantined; an error means that containerd does not list the names.
func (s *Service) Load(ctx context.Context) error {
	ticket := s.index.ticket()
	listCtx, cancel := context.WithTimeout(ctx, readTimeout)
	names, err := s.store.ListImageNames(listCtx)
	cancel()
	if err != nil {
		return fmt.Errorf("load images: %w", err)
	}
	var (
		group errgroup.Group
		mu    sync.Mutex
		found = make(map[string]record, len(names))
	)
	group.SetLimit(readers)
	for _, name := range names {
		group.Go(func() error {
			r := s.describe(ctx, name)
			mu.Lock()
			defer mu.Unlock()
			found[name.Name] = r
			return nil
		})
	}
	_ = group.Wait() // a bad image is a record too
	if ctx.Err() != nil {
		return fmt.Errorf("load images: %w", ctx.Err())
	}
	s.index.applyAll(ticket, found)
	return nil
}

// follow keeps the index as containerd is, until ctx ends.
func (s *Service) follow(ctx context.Context) error {
	pause := retryFirst
	for {
		err := s.watch(ctx, func() { pause = retryFirst })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.log.WarnContext(ctx, "lost containerd's image events, subscribing again", "error", err, "pause", pause)
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
		pause = min(2*pause, retryLast)
	}
}

// watch lives as long as one subscription.
func (s *Service) watch(ctx context.Context, began func()) error {
	group, ctx := errgroup.WithContext(ctx)
	begun := make(chan struct{})
	group.Go(func() error {
		var reading errgroup.Group // waited for: they read for this subscription
		reading.SetLimit(readers)
		defer func() { _ = reading.Wait() }()
		return s.store.WatchImageNames(ctx, func() { began(); close(begun) }, func(name string) {
			reading.Go(func() error {
				if err := s.refresh(ctx, name); err != nil && ctx.Err() == nil {
					s.log.WarnContext(ctx, "image changed and cannot be read", "name", name, "error", err)
				}
				return nil
			})
		})
	})
	group.Go(func() error {
		select {
		case <-begun:
		case <-ctx.Done():
			return nil
		}
		for {
			if err := s.Load(ctx); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "images cannot be listed", "error", err)
			}
			if !sleep(ctx, listEvery) {
				return nil
			}
		}
	})
	return group.Wait()
}

// refresh reads one name again.
func (s *Service) refresh(ctx context.Context, name string) error {
	ticket := s.index.ticket()
	readCtx, cancel := context.WithTimeout(ctx, readTimeout)
	found, err := s.store.GetImageName(readCtx, name)
	cancel()
	if errdefs.IsNotFound(err) {
		s.index.apply(ticket, name, nil)
		return nil
	}
	if err != nil {
		return err
	}
	r := s.describe(ctx, found)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.index.apply(ticket, name, &r)
	return nil
}

// describe reads what a name stands for, unless the index knows it.
func (s *Service) describe(ctx context.Context, name engine.ImageName) record {
	v := s.index.load()
	if known := v.known(name.Target.Digest); known != nil {
		return record{name: name, contents: known}
	}
	readCtx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	found, err := s.read(readCtx, v, name.Target)
	if err == nil {
		return record{name: name, contents: found}
	}
	err = fmt.Errorf("image name %q: %w", name.Name, err)
	before, known := v.records[name.Name]
	if ctx.Err() == nil && (!known || before.problem == nil || before.problem.Error() != err.Error()) {
		s.log.WarnContext(ctx, "quarantined an image name", "name", name.Name, "error", err)
	}
	return record{name: name, problem: err}
}

// read reads an image's metadata and makes sure that it can be used.
func (s *Service) read(ctx context.Context, v *view, target ocispec.Descriptor) (*contents, error) {
	manifest, err := s.store.ImageManifest(ctx, target)
	if err != nil {
		return nil, err
	}
	if manifest.Config.MediaType == emptyConfig {
		return nil, fmt.Errorf("%s is an OCI artifact, not an image: %w", target.Digest, errdefs.ErrInvalidArgument)
	}
	parsed, known := v.knownConfig(manifest.Config.Digest)
	if !known {
		if parsed, err = s.store.ImageConfig(ctx, manifest.Config); err != nil {
			return nil, err
		}
	}
	c := &contents{manifest: manifest, config: parsed, chainID: chainID(parsed.RootFS.DiffIDs)}
	return c, s.usable(ctx, c)
}

// usable returns an error if the image is neither unpacked nor complete, as
// after a crash of the machine: the kubelet must then pull it again. Layers
// alone may be missing, as lazy snapshotters and content that was already
// unpacked have it.
func (s *Service) usable(ctx context.Context, c *contents) error {
	var failed []error
	for _, snapshotter := range s.snapshotters {
		unpacked, err := s.store.ImageUnpacked(ctx, c.chainID, snapshotter)
		if unpacked {
			return nil
		}
		failed = append(failed, err)
	}
	missing, err := s.store.MissingContent(ctx, c.manifest.Layers)
	if err != nil {
		return err
	}
	if len(missing) == 0 {
		return nil
	}
	// A snapshotter that does not answer may have them.
	if err := errors.Join(failed...); err != nil {
		return err
	}
	return fmt.Errorf("%d of %d layers are missing, the first is %s: %w",
		len(missing), len(c.manifest.Layers), missing[0], errdefs.ErrNotFound)
}

func chainID(layers []digest.Digest) string { return identity.ChainID(layers).String() }

// sleep returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
