// Package image pulls, lists, resolves and removes images.
//
//	     List, Resolve                    Pull, Remove
//	          │                                │
//	          ▼                                ▼
//	view (atomic pointer) ◀── refresh ── containerd ──▶ transfer service ──▶ registry
//	                             ▲             │
//	                             └── events ───┘
//
// containerd's image store is the truth. An image has one name there for each
// tag (registry/repository:tag) and one for each digest that it was pulled by or
// resolved to (registry/repository@sha256:…), so that an image whose tag moved
// on stays known by its digest. An image's id, the digest of its config, is no
// name: it is found in memory, where all names are indexed by the config they
// lead to. So nothing has to be written for images that other tools bring in,
// and a removed image leaves nothing behind. Names that are ids, which
// containerd's own CRI plugin writes, are understood and removed with the rest.
//
// Invariant: readers use an immutable view and never wait, neither for
// containerd nor for a writer. The view follows containerd's events; after a
// broken subscription, and once in a while, everything is listed again.
//
// A name that cannot be understood (content missing or damaged, no image for
// this platform) is quarantined: logged, shown by Quarantine, tried again with
// each listing, removable, and never in the way of others. A pull fails for all
// that wait for it, with an error that says whether image, credentials or
// registry is at fault; one that makes no progress is given up.
package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/internal/config"
)

// Service is the images of one node. All methods may be called concurrently.
type Service struct {
	store Store
	cfg   config.Image
	log   *slog.Logger
	// snapshotters are all in use, the configured one first.
	snapshotters []string
	pinned       map[string]bool // normalized references and ids
	index        *index
	usage        *usage
	pulse        pulse

	mu      sync.Mutex
	flights map[string]*flight // pulls under way
	stopped bool
	work    sync.WaitGroup // the goroutines of flights
	life    context.Context
	end     context.CancelFunc

	fetchOnly sync.Map // snapshotters that the transfer service does not unpack for
}

// New returns a service; it does nothing before Load and Run. snapshotters
// are those in use beside cfg.Snapshotter: ImageFsInfo covers all of them.
func New(store Store, cfg config.Image, snapshotters []string, log *slog.Logger) (*Service, error) {
	s := &Service{
		store:   store,
		cfg:     cfg,
		log:     log,
		pinned:  make(map[string]bool),
		flights: make(map[string]*flight),
	}
	for _, ref := range append([]string{cfg.PauseImage}, cfg.PinnedImages...) {
		if isID(ref) {
			s.pinned[ref] = true
			continue
		}
		named, err := normalize(ref)
		if err != nil {
			return nil, fmt.Errorf("pinned image: %w", err)
		}
		s.pinned[named.String()] = true
	}
	s.index = newIndex(s.isPinned)
	s.snapshotters = []string{cfg.Snapshotter}
	for _, name := range snapshotters {
		if name != "" && !slices.Contains(s.snapshotters, name) {
			s.snapshotters = append(s.snapshotters, name)
		}
	}
	s.usage = newUsage(store, s.snapshotters, cfg.StatsCollectPeriod.Std(), log)
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Run keeps the index and the figures of FsInfo fresh until ctx ends. Then it
// gives up the pulls under way and returns when nothing of the service runs.
func (s *Service) Run(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { return s.follow(ctx) })
	group.Go(func() error { return s.usage.run(ctx) })
	err := group.Wait()
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.end()
	s.work.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Resolve returns the image that ref means: a tag, a digest, an id with or
// without algorithm, or seven or more of an id's first digits. It does not
// wait for anything. An image that is not here is errdefs.ErrNotFound.
func (s *Service) Resolve(_ context.Context, ref string) (Image, error) {
	if ref == "" {
		return Image{}, fmt.Errorf("image reference is empty: %w", errdefs.ErrInvalidArgument)
	}
	return s.index.load().resolve(ref)
}

// List returns all images, or those that ref means: one image, or all of a
// repository if ref has neither tag nor digest. It does not wait for anything.
func (s *Service) List(ref string) []Image {
	v := s.index.load()
	if ref == "" {
		return slices.Clone(v.images)
	}
	if name, ok := repository(ref); ok {
		if found := v.inRepository(name); len(found) > 0 {
			return found
		}
	}
	if image, err := v.resolve(ref); err == nil {
		return []Image{image}
	}
	return nil
}

// Quarantine returns the names that could not be understood, and why.
func (s *Service) Quarantine() map[string]error {
	bad := make(map[string]error)
	for name, r := range s.index.load().records {
		if r.problem != nil {
			bad[name] = r.problem
		}
	}
	return bad
}

// isPinned tells whether configuration or a label protects an image. The
// label is that of containerd's CRI plugin.
func (s *Service) isPinned(image Image) bool {
	if s.pinned[image.ID] {
		return true
	}
	for _, name := range image.names {
		if name.Labels["io.cri-containerd.pinned"] == "pinned" || s.pinned[name.Name] {
			return true
		}
		if named, err := normalize(name.Name); err == nil && s.pinned[named.String()] {
			return true
		}
	}
	return false
}
