package image

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// firstUsage bounds how long FsInfo waits for the first measurement.
const firstUsage = 5 * time.Second

// measureTimeout bounds the measurement of one snapshotter.
const measureTimeout = 5 * time.Minute

// FsUsage is what the snapshots of one snapshotter take.
type FsUsage struct {
	Snapshotter string
	Mountpoint  string // a directory on the file system in question
	Bytes       uint64
	Inodes      uint64
	Time        time.Time // of the measurement
}

// SnapshotUsage is what one snapshot takes, without its parents.
type SnapshotUsage struct {
	Bytes  uint64
	Inodes uint64
	Time   time.Time
}

// FsInfo returns the usage for each snapshotter, the configured one first. It
// returns the figures of the last measurement, made in the background, and
// waits only if there is none yet.
func (s *Service) FsInfo(ctx context.Context) ([]FsUsage, error) {
	ctx, cancel := context.WithTimeout(ctx, firstUsage)
	defer cancel()
	select {
	case <-s.usage.first:
	case <-ctx.Done():
		return nil, fmt.Errorf("usage of image file systems: not measured yet: %w", errdefs.ErrUnavailable)
	}
	return s.usage.current.Load().systems, nil
}

// SnapshotUsage returns the last measured usage of one snapshot; false if it
// has not been measured, for example because it is too new.
func (s *Service) SnapshotUsage(snapshotter, key string) (SnapshotUsage, bool) {
	m := s.usage.current.Load()
	if m == nil {
		return SnapshotUsage{}, false
	}
	found, ok := m.snapshots[snapshotKey{snapshotter, key}]
	return found.SnapshotUsage, ok
}

// Mountpoint is a directory on the file system of a snapshotter, empty before
// its first measurement.
func (s *Service) Mountpoint(snapshotter string) string {
	fs, _ := s.usage.current.Load().of(snapshotter)
	return fs.Mountpoint
}

type snapshotKey struct{ snapshotter, key string }

type snapshotUsage struct {
	SnapshotUsage
	kind    snapshots.Kind
	created time.Time
}

// measurement is immutable.
type measurement struct {
	systems   []FsUsage
	snapshots map[snapshotKey]snapshotUsage
}

// usage measures snapshots in the background.
type usage struct {
	store        SnapshotStore
	snapshotters []string
	period       time.Duration
	log          *slog.Logger
	roots        map[string]string // mount points; used by run only
	current      atomic.Pointer[measurement]
	first        chan struct{} // closed with the first measurement
}

func newUsage(store SnapshotStore, snapshotters []string, period time.Duration, log *slog.Logger) *usage {
	return &usage{
		store: store, snapshotters: snapshotters, period: period, log: log,
		roots: make(map[string]string), first: make(chan struct{}),
	}
}

// run measures until ctx ends. Measuring writable snapshots means reading
// directory trees, so it pauses for at least nine times as long as it took.
func (u *usage) run(ctx context.Context) error {
	for {
		begin := time.Now()
		measured := u.measure(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// The configured snapshotter comes first: that is the one which the
		// kubelet looks at.
		usable := len(measured.systems) > 0 && measured.systems[0].Snapshotter == u.snapshotters[0]
		if usable && u.current.Swap(measured) == nil {
			close(u.first)
		}
		if !sleep(ctx, max(u.period, 9*time.Since(begin))) {
			return ctx.Err()
		}
	}
}

// measure measures each snapshotter. One that does not answer keeps its last
// figures and does not keep the others from theirs.
func (u *usage) measure(ctx context.Context) *measurement {
	m := &measurement{snapshots: make(map[snapshotKey]snapshotUsage)}
	last := u.current.Load()
	for _, snapshotter := range u.snapshotters {
		found := make(map[snapshotKey]snapshotUsage)
		fs, err := u.measureOne(ctx, snapshotter, found)
		if err != nil {
			if ctx.Err() == nil {
				u.log.WarnContext(ctx, "snapshots cannot be measured", "snapshotter", snapshotter, "error", err)
			}
			if fs, found = last.of(snapshotter); found == nil {
				continue
			}
		}
		m.systems = append(m.systems, fs)
		maps.Copy(m.snapshots, found)
	}
	return m
}

// of returns the part of one snapshotter, nil if there is none.
func (m *measurement) of(snapshotter string) (FsUsage, map[snapshotKey]snapshotUsage) {
	if m == nil {
		return FsUsage{}, nil
	}
	at := slices.IndexFunc(m.systems, func(fs FsUsage) bool { return fs.Snapshotter == snapshotter })
	if at < 0 {
		return FsUsage{}, nil
	}
	found := make(map[snapshotKey]snapshotUsage)
	for key, one := range m.snapshots {
		if key.snapshotter == snapshotter {
			found[key] = one
		}
	}
	return m.systems[at], found
}

func (u *usage) measureOne(ctx context.Context, snapshotter string, into map[snapshotKey]snapshotUsage) (FsUsage, error) {
	ctx, cancel := context.WithTimeout(ctx, measureTimeout)
	defer cancel()
	root, err := u.root(ctx, snapshotter)
	if err != nil {
		return FsUsage{}, err
	}
	fs := FsUsage{Snapshotter: snapshotter, Mountpoint: root, Time: time.Now()}
	all, err := u.store.ListSnapshots(ctx, snapshotter)
	if err != nil {
		return FsUsage{}, err
	}
	for _, info := range all {
		key := snapshotKey{snapshotter, info.Name}
		measured, err := u.measureSnapshot(ctx, key, info)
		if errdefs.IsNotFound(err) {
			continue // removed meanwhile
		}
		if err != nil {
			return FsUsage{}, err
		}
		into[key] = measured
		fs.Bytes += measured.Bytes
		fs.Inodes += measured.Inodes
	}
	return fs, nil
}

// measureSnapshot measures a snapshot, unless it cannot have changed since.
func (u *usage) measureSnapshot(ctx context.Context, key snapshotKey, info snapshots.Info) (snapshotUsage, error) {
	if last := u.current.Load(); last != nil && info.Kind == snapshots.KindCommitted {
		known, ok := last.snapshots[key]
		if ok && known.kind == info.Kind && known.created.Equal(info.Created) {
			known.Time = time.Now()
			return known, nil
		}
	}
	measured, err := u.store.SnapshotUsage(ctx, key.snapshotter, key.key)
	if err != nil {
		return snapshotUsage{}, err
	}
	return snapshotUsage{
		SnapshotUsage: SnapshotUsage{
			Bytes: uint64(max(measured.Size, 0)), Inodes: uint64(max(measured.Inodes, 0)), Time: time.Now(),
		},
		kind: info.Kind, created: info.Created,
	}, nil
}

func (u *usage) root(ctx context.Context, snapshotter string) (string, error) {
	if root, ok := u.roots[snapshotter]; ok {
		return root, nil
	}
	root, err := u.store.SnapshotterRoot(ctx, snapshotter)
	if err == nil {
		u.roots[snapshotter] = root
	}
	return root, err
}
