// Package imagetest has a fake of containerd for tests of the image service,
// and the contract that the fake and the real one both fulfil.
//
// The fake has a registry, a content store, snapshotters and garbage
// collection, all in memory. It is safe for concurrent use.
package imagetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/image"
)

var _ image.Store = (*Store)(nil)

// Store is the fake.
type Store struct {
	// OnTransfer, if not nil, is called at the beginning of each transfer. Its
	// error is that of the transfer.
	OnTransfer func(ctx context.Context, t engine.ImageTransfer, progress func(transfer.Progress)) error
	// FetchOnly are snapshotters for which the transfer service is not set up.
	FetchOnly []string
	// OnList, if not nil, is called for each listing of snapshots. Its error is
	// that of the listing.
	OnList func(snapshotter string) error

	mu        sync.Mutex
	registry  map[string]Content          // by reference
	names     map[string]engine.ImageName // the image store
	contents  map[digest.Digest]Content   // by target
	lost      map[digest.Digest]bool      // blobs that are missing
	damaged   map[digest.Digest]error     // targets that cannot be read
	snapshots map[string]map[string]snapshots.Info
	used      map[string]int // calls of SnapshotUsage by key
	watchers  map[int]chan string
	broken    chan struct{} // closed to end all watches
	next      int
	artifacts map[string][]byte // by reference
	transfers []engine.ImageTransfer
	reads     int // manifests read
}

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{
		registry:  make(map[string]Content),
		names:     make(map[string]engine.ImageName),
		contents:  make(map[digest.Digest]Content),
		lost:      make(map[digest.Digest]bool),
		damaged:   make(map[digest.Digest]error),
		snapshots: make(map[string]map[string]snapshots.Info),
		used:      make(map[string]int),
		watchers:  make(map[int]chan string),
		broken:    make(chan struct{}),
	}
}

// Content is what an image consists of.
type Content struct {
	Target   ocispec.Descriptor
	Manifest engine.ImageManifest
	Config   ocispec.Image
}

// NewContent returns an image of two layers that differs with seed.
func NewContent(seed string) Content {
	layer := func(n int) ocispec.Descriptor {
		text := fmt.Sprintf("layer %d of %s", n, seed)
		return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString(text), Size: int64(1000 * n)}
	}
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	config.RootFS.Type = "layers"
	config.RootFS.DiffIDs = []digest.Digest{digest.FromString("diff 1 of " + seed), digest.FromString("diff 2 of " + seed)}
	return Content{
		Target: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("manifest of " + seed), Size: 400},
		Manifest: engine.ImageManifest{
			Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromString("config of " + seed), Size: 300},
			Layers: []ocispec.Descriptor{layer(1), layer(2)},
			Size:   3700,
		},
		Config: config,
	}
}

// ID is the image's id.
func (c Content) ID() string { return c.Manifest.Config.Digest.String() }

// ChainID is the key of the image's snapshot.
func (c Content) ChainID() string { return identity.ChainID(c.Config.RootFS.DiffIDs).String() }

// Serve puts an image into the registry.
func (s *Store) Serve(ref string, c Content) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registry[ref] = c
}

// Import puts an image under a name into containerd, as other tools do.
func (s *Store) Import(name string, c Content) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.contents[c.Target.Digest] = c
	s.put(engine.ImageName{Name: name, Target: c.Target})
}

// Damage makes reading a target fail; nil repairs it.
func (s *Store) Damage(target digest.Digest, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.damaged[target] = err
}

// Lose makes a blob missing.
func (s *Store) Lose(blob digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost[blob] = true
}

// Break ends all watches under way, as a restart of containerd does.
func (s *Store) Break() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.broken)
	s.broken = make(chan struct{})
}

// Prepare adds a writable snapshot.
func (s *Store) Prepare(snapshotter, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshot(snapshotter, key, snapshots.KindActive)
}

// Measured is how often a snapshot has been measured.
func (s *Store) Measured(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used[key]
}

// Transfers are those that have begun.
func (s *Store) Transfers() []engine.ImageTransfer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.transfers)
}

// Reads is how many manifests have been read.
func (s *Store) Reads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// Names are the names in containerd, sorted.
func (s *Store) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.names))
}

func (s *Store) put(name engine.ImageName) {
	s.names[name.Name] = name
	s.tell(name.Name)
}

func (s *Store) tell(name string) {
	for _, watcher := range s.watchers {
		watcher <- name
	}
}

func (s *Store) snapshot(snapshotter, key string, kind snapshots.Kind) {
	if s.snapshots[snapshotter] == nil {
		s.snapshots[snapshotter] = make(map[string]snapshots.Info)
	}
	s.snapshots[snapshotter][key] = snapshots.Info{Name: key, Kind: kind, Created: time.Now()}
}

// collect is garbage collection: content and snapshots of images without a
// name go.
func (s *Store) collect() {
	keep := make(map[digest.Digest]bool)
	chains := make(map[string]bool)
	for _, name := range s.names {
		keep[name.Target.Digest] = true
		chains[s.contents[name.Target.Digest].ChainID()] = true
	}
	maps.DeleteFunc(s.contents, func(target digest.Digest, _ Content) bool { return !keep[target] })
	for _, one := range s.snapshots {
		maps.DeleteFunc(one, func(key string, info snapshots.Info) bool {
			return info.Kind == snapshots.KindCommitted && !chains[key]
		})
	}
}

func missing(what, name string) error {
	return fmt.Errorf("%s %q: %w", what, name, errdefs.ErrNotFound)
}
